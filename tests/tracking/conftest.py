"""A search as the driver makes it, without Ray."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from raytuner.goals import Goal
from raytuner.objective import Block, Report
from raytuner.past import Past, read_past
from raytuner.space import SearchSpace
from raytuner.study import Study
from raytuner.take_up import take_up
from raytuner.tracking.tracking import Tracking
from raytuner.values import Means

RUN = {"name": "rag", "created": "2026-01-01T00:00:00+00:00", "search": "grid", "versions": {"ray": "2"}}
SPACE = {"top_k": [1, 2, 3, 4], "prompt": ["short", "Answer by {context_str}\nQuestion: {query_str}\n"]}
CONFIG = "documents: my-docs\npipeline:\n  prompt: 'Answer by {context_str} the question {query_str}'\n"


class Search:
    """One driver of a search in a folder; another one on the same folder goes on."""

    def __init__(
        self, folder: Path, tracking: Tracking, space: Mapping[str, Any] = SPACE, goals: Sequence[Goal] = ()
    ) -> None:
        self.tracking = tracking
        self.folder = folder
        folder.mkdir(exist_ok=True)
        past = read_past(folder) if (folder / "log.jsonl").exists() else Past(folder, [], {}, [])
        self.space = SearchSpace.from_dict(space)
        self.study = Study("score", "max", folder, (tracking.on_change,), self.space.names, goals)
        take_up(self.study, past, None)
        tracking.begin(self.study, self.space, RUN, CONFIG, past)

    def begin(self, number: int, **params: Any) -> None:
        """A trial begins."""
        raw = self.space.encode(params)
        self.study.start(number, self.space.configuration(raw), raw)

    def block(self, number: int, *scores: float | Mapping[str, float]) -> None:
        """A trial answers a block of questions with these scores."""
        trial = self.study.trials[number]
        trial.went_on = True  # the means are those of the study
        at = len(trial.questions)
        rows = [dict(score) if isinstance(score, Mapping) else {"score": score} for score in scores]
        values = {f"q{at + place}": row for place, row in enumerate(rows)}
        means = Means()
        means.add(values)
        self.study.report(number, Report(means.values(), Block(trial.next_block, values, 0.1)))

    def trial(self, number: int, *scores: float | Mapping[str, float], **params: Any) -> None:
        """A trial runs to its end, two questions a block."""
        self.begin(number, **params)
        for at in range(0, len(scores), 2):
            self.block(number, *scores[at : at + 2])
        self.study.finish(number, 2.0)

    def end(self, *, finished: bool = True) -> list[str]:
        """The search ends; gives what trackers could not be told."""
        lines = self.tracking.end(self.study, None, None, finished=finished)
        self.study.close()
        return lines

    def lost(self) -> None:
        """The driver is gone without a word, after trackers were told all that was there to tell."""
        deadline = time.monotonic() + 240
        while any(feed._waiting for feed in self.tracking._feeds.values()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        self.study.close()


@pytest.fixture
def search() -> Callable[..., Search]:
    return Search


def first_half(folder: Path, tracking: Tracking) -> None:
    """A trial that is scored, and one in the middle of which the driver is lost."""
    one = Search(folder, tracking)
    one.trial(1, 0.1, 0.2, 0.3, 0.4, top_k=1)
    one.begin(2, top_k=2)
    one.block(2, 0.5, 0.6)
    one.lost()


def second_half(folder: Path, tracking: Tracking) -> None:
    """The second is scored after all, one is stopped, one fails."""
    other = Search(folder, tracking)
    other.study.resume(2)
    other.block(2, 0.7, 0.9)
    other.study.finish(2, 3.0)
    other.begin(3, top_k=3)
    other.block(3, 0.0, 0.1)
    other.study.stop(3, 1.0, "behind trial 2", {"score": 0.05})
    other.begin(4, top_k=4, prompt=SPACE["prompt"][1])
    other.study.finish(4, 1.0, "Traceback\n  File x\n    code\nValueError: wrong")
    assert other.end() == []


@pytest.fixture
def whole_search() -> Callable[[Path, Callable[[], Tracking]], None]:
    """A search of two drivers, each with a tracking of its own."""

    def run(folder: Path, make: Callable[[], Tracking]) -> None:
        first_half(folder, make())
        second_half(folder, make())

    return run


@pytest.fixture
def goes_on() -> Callable[[Path, Tracking], None]:
    return second_half
