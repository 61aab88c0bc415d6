"""What a tracker is told, and what becomes of a search whose tracker fails; the tracker here writes a file."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raytuner.tracking import feed
from raytuner.tracking.tracker import EndFacts, RunFacts, TrialFacts, withheld
from raytuner.tracking.tracking import Tracking

PROMPT = "Answer by {context_str}\nQuestion: {query_str}\n"


class FileTracker:
    """Keeps a line for each thing it is told; on what is in the file already it writes nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: set[str] = set()

    def _write(self, **row: Any) -> None:
        line = json.dumps(row, sort_keys=True)
        if line not in self.seen:
            with self.path.open("a") as file:
                file.write(line + "\n")
            self.seen.add(line)

    def begin(self, run: RunFacts) -> None:
        self.seen = set(self.path.read_text().splitlines()) if self.path.exists() else set()
        self._write(kind="begin", id=run.id, name=run.name, config=run.config, search=run.facts["search"])

    def trial(self, trial: TrialFacts) -> None:
        self._write(kind="params", trial=trial.number, params=trial.params)
        for step in trial.steps:
            self._write(kind="step", trial=trial.number, step=step.questions, **step.metrics)
        if trial.ended:
            self._write(kind="end", trial=trial.number, state=trial.state, reason=trial.reason, values=trial.values)

    def end(self, end: EndFacts) -> None:
        self._write(kind="ended", finished=end.finished, best=end.best)

    def rows(self, kind: str) -> list[dict[str, Any]]:
        rows = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [row for row in rows if row["kind"] == kind]


class Broken(FileTracker):
    """Raises as often as it is told to."""

    def __init__(self, path: Path, failures: int, error: Exception) -> None:
        super().__init__(path)
        self.failures = failures
        self.error = error

    def _write(self, **row: Any) -> None:
        if self.failures > 0:
            self.failures -= 1
            raise self.error
        super()._write(**row)


def test_all_that_happens_is_told(tmp_path: Path, search: Callable[..., Any]) -> None:
    tracker = FileTracker(tmp_path / "told.jsonl")
    own = search(tmp_path / "run", Tracking({"file": tracker}))
    own.trial(1, 0.1, 0.2, 0.3, 0.4, top_k=1)
    own.begin(2, top_k=2)
    own.block(2, 0.0, 0.1)
    own.study.stop(2, 1.0, "behind trial 1", {"score": 0.05})
    own.begin(3, top_k=3)
    own.study.finish(3, 1.0, "Traceback\n  File x\n    code\nValueError: wrong")
    assert own.end() == []
    assert [row["params"]["top_k"] for row in tracker.rows("params")] == [1, 2, 3]
    steps = [(row["trial"], row["step"], row["score"]) for row in tracker.rows("step")]
    assert steps == [(1, 2, pytest.approx(0.15)), (1, 4, 0.25), (2, 2, 0.05)]
    ends = {row["trial"]: row for row in tracker.rows("end")}
    assert [ends[number]["state"] for number in (1, 2, 3)] == ["scored", "stopped", "failed"]
    assert [ends[number]["reason"] for number in (1, 2, 3)] == ["", "behind trial 1", "ValueError: wrong"]
    assert ends[1]["values"] == {"score": 0.25, "seconds": 2.0, "questions": 4.0}
    assert tracker.rows("ended") == [{"kind": "ended", "finished": True, "best": 1}]


def test_a_search_that_goes_on_is_told_of_once(tmp_path: Path, whole_search: Callable[..., None]) -> None:
    tracker = FileTracker(tmp_path / "told.jsonl")
    whole_search(tmp_path / "run", lambda: Tracking({"file": tracker}))
    steps = [(row["trial"], row["step"]) for row in tracker.rows("step")]
    assert steps == [(1, 2), (1, 4), (2, 2), (2, 4), (3, 2)]
    assert [row["trial"] for row in tracker.rows("end")] == [1, 2, 3, 4]
    assert len(tracker.rows("begin")) == 1


def test_texts_are_told_only_to_those_that_ask(tmp_path: Path, search: Callable[..., Any]) -> None:
    own, asks = FileTracker(tmp_path / "own.jsonl"), FileTracker(tmp_path / "asks.jsonl")
    run = search(tmp_path / "run", Tracking({"own": own, "asks": asks}, texts=["asks"]))
    run.trial(1, 0.1, 0.2, prompt=PROMPT)
    run.end()
    assert own.rows("params")[0]["params"] == {"top_k": 1, "prompt": "<text of 46 characters, 7f133c59>"}
    assert asks.rows("params")[0]["params"] == {"top_k": 1, "prompt": PROMPT}
    assert "context_str" not in own.path.read_text()
    assert "context_str" in asks.rows("begin")[0]["config"]


def test_an_error_that_echoes_a_prompt_is_told_without_it(
    tmp_path: Path, search: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "hunter2hunter2")
    own, asks = FileTracker(tmp_path / "own.jsonl"), FileTracker(tmp_path / "asks.jsonl")
    run = search(tmp_path / "run", Tracking({"own": own, "asks": asks}, texts=["asks"]))
    run.begin(1, prompt=PROMPT)
    run.study.finish(1, 1.0, f"Traceback\n  File x\n    code\nValueError: hunter2hunter2 refused {PROMPT!r} (400)")
    run.end()
    reasons = [tracker.rows("end")[0]["reason"] for tracker in (own, asks)]
    assert reasons[0] == "ValueError: <SOME_KEY> refused '<text withheld>' (400)"
    assert reasons[1] == f"ValueError: <SOME_KEY> refused {PROMPT!r} (400)"


def test_withheld_is_what_is_long_or_a_prompt() -> None:
    assert withheld({"llm": "mock", "top_k": 3, "prompt": None}) == {"llm": "mock", "top_k": 3, "prompt": None}
    found = withheld({"judge": {"prompts": {"correctness": "Is {answer} right for {query}?"}}, "list": ["x" * 80]})
    assert found["judge"]["prompts"]["correctness"].startswith("<text of 30 characters, ")
    assert found["list"][0].startswith("<text of 80 characters, ")


def test_a_tracker_that_was_down_is_told_later(
    tmp_path: Path, search: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(feed, "AGAIN_S", 0.01)
    caplog.set_level("WARNING", "raytuner")
    tracker = Broken(tmp_path / "told.jsonl", 4, ConnectionError("refused"))
    own = search(tmp_path / "run", Tracking({"file": tracker}))
    for number in range(1, 5):
        own.trial(number, 0.1, 0.2, top_k=number)
    own.lost()
    assert own.end() == []
    assert [row["trial"] for row in tracker.rows("end")] == [1, 2, 3, 4]
    assert caplog.messages == ["file cannot be told of the search, which goes on: ConnectionError: refused"]


def test_a_tracker_that_stays_down_is_spoken_of_at_the_end(
    tmp_path: Path, search: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SOME_PASSWORD", "hunter2hunter2")
    caplog.set_level("WARNING", "raytuner")
    error = OSError("no space left at https://me:hunter2hunter2@there")
    tracker = Broken(tmp_path / "told.jsonl", 10**9, error)
    own = search(tmp_path / "run", Tracking({"file": tracker}))
    for number in range(1, 4):
        own.trial(number, 0.1, 0.2, top_k=number)
    started = time.monotonic()
    [line] = own.end()
    assert time.monotonic() - started < 5
    assert line.startswith("track: file was not told of 3 trials: OSError: no space left at https://")
    assert line.endswith(f"raytuner resume {tmp_path / 'run'} tells it")
    assert len(caplog.messages) == 1
    assert "hunter2" not in line + caplog.text
    assert len(own.study.scored) == 3
    other = FileTracker(tmp_path / "told.jsonl")  # which works again
    assert search(tmp_path / "run", Tracking({"file": other})).end() == []
    assert [row["trial"] for row in other.rows("end")] == [1, 2, 3]


def test_one_trial_that_cannot_be_told_keeps_none_of_the_others(
    tmp_path: Path, search: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "AGAIN_S", 0.01)

    class Refuses(FileTracker):
        def trial(self, trial: TrialFacts) -> None:
            if trial.number == 2:
                raise ValueError("2 is not allowed")
            super().trial(trial)

    tracker = Refuses(tmp_path / "told.jsonl")
    own = search(tmp_path / "run", Tracking({"file": tracker}))
    for number in range(1, 5):
        own.trial(number, 0.1, 0.2, top_k=number)
    [line] = own.end()
    assert "file was not told of 1 trial: ValueError: 2 is not allowed" in line
    assert [row["trial"] for row in tracker.rows("end")] == [1, 3, 4]
    assert len(tracker.rows("ended")) == 1


def test_a_slow_tracker_holds_up_nothing_and_misses_nothing(tmp_path: Path, search: Callable[..., Any]) -> None:
    go_on = threading.Event()

    class Slow(FileTracker):
        told = 0

        def trial(self, trial: TrialFacts) -> None:
            go_on.wait(30)
            self.told += 1
            super().trial(trial)

    tracker = Slow(tmp_path / "told.jsonl")
    tracking = Tracking({"file": tracker}, limit_s=0.2)
    own = search(tmp_path / "run", tracking)
    started = time.monotonic()
    for number in range(1, 4):
        own.trial(number, *([0.5] * 100), top_k=number)
    assert time.monotonic() - started < 5  # its 150 blocks have waited for nothing
    waiting = tracking._feeds["file"]._waiting
    assert len(waiting) == 3  # the newest state of each, not each block
    [line] = own.end()
    assert "file was not told of 3 trials: it took too long" in line
    go_on.set()
    deadline = time.monotonic() + 30
    while waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    assert tracker.told <= 4
    assert len(tracker.rows("step")) == 150


def test_without_trackers_there_is_no_thread(tmp_path: Path, search: Callable[..., Any]) -> None:
    before = threading.active_count()
    own = search(tmp_path / "run", Tracking({}))
    own.trial(1, 0.1, 0.2)
    assert threading.active_count() == before
    assert own.end() == []
