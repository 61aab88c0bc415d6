"""A search without Ray: suggestions are scored here, so many in flight at once."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from raytuner.search import Algorithm, make_searcher
from raytuner.space import Params, SearchSpace

Score = Callable[[Params], float]

FAILURE = math.inf
"""The score that stands for a trial that raised."""
MOST_WAITS = 100
"""So often in a row may nothing be suggested."""


def any_score(params: Params) -> float:
    """Some score between 0 and 1 that depends on nothing but the configuration."""
    return random.Random(repr(params)).random()


class Drive:
    """Runs a search to its end, or for so many trials.

    Args:
        search: The algorithm, or its name.
        space: The search space.
        score: Scores a configuration; `FAILURE` is a trial that raises.
        most: After so many configurations no more is asked for.
        flight: So many trials run at once; which of them ends next is drawn.
        order: The seed for that.
        mode: ``max`` or ``min``.
        **options: What `raytuner.search.make_searcher` takes beside these.

    Attributes:
        searcher: The algorithm with the contract around it.
        configs: What was handed out, in order, with conditions resolved.
        points: The raw samples of these.
        numbers: Their numbers.
        scores: The scores that are numbers, in the order in which trials ended.
        running: The configurations in flight by the names of their trials.
        seconds: What each suggestion took together with telling one score, of this process.
        wall_s: The same by the clock.
    """

    def __init__(
        self,
        search: str | Algorithm,
        space: SearchSpace,
        score: Score = any_score,
        *,
        most: int = 400,
        flight: int = 1,
        order: int = 0,
        mode: str = "max",
        **options: Any,
    ) -> None:
        self.searcher: Any = make_searcher(search, space, "score", mode, **options)
        self.configs: list[Params] = []
        self.points: list[dict[str, Any]] = []
        self.numbers: list[int] = []
        self.scores: list[float] = []
        self.seconds: list[float] = []
        self.wall_s: list[float] = []
        self.running: dict[str, Params] = {}
        self._space = space
        self._score = score
        self._rng = random.Random(order)
        self._asked = 0
        self.go_on(most, flight)

    def go_on(self, most: int, flight: int = 1) -> None:
        """Run until so many configurations were handed out and all have ended, or until the search ends.

        Args:
            most: So many in all.
            flight: So many trials run at once.
        """
        ended, waits = False, 0
        while self.running or not ended:
            started = time.process_time(), time.perf_counter()
            wants = not ended and len(self.configs) < most and len(self.running) < flight
            found = self.ask() if wants else None
            ended = ended or isinstance(found, str) or len(self.configs) >= most
            waits = waits + 1 if wants and found is None else 0
            assert waits < MOST_WAITS, f"nothing was suggested {waits} times, and the search does not end"
            if self.running and (len(self.running) >= flight or not isinstance(found, dict)):
                self.finish(self._rng.choice(list(self.running)))
            if isinstance(found, dict):
                self.seconds.append(time.process_time() - started[0])
                self.wall_s.append(time.perf_counter() - started[1])

    def ask(self) -> Any:
        """Take the next suggestion and begin its trial."""
        trial = f"t{self._asked}"
        found = self.searcher.suggest(trial)
        if isinstance(found, dict):
            self._asked += 1
            json.dumps(found, allow_nan=False)  # neither NumPy's scalars nor domains
            self.running[trial] = self._space.configuration(found["point"])
            self.configs.append(self.running[trial])
            self.points.append(found["point"])
            self.numbers.append(found["number"])
        return found

    def finish(self, trial: str) -> None:
        """End a trial and tell its score.

        Args:
            trial: Its name in `running`.
        """
        score = self._score(self.running.pop(trial))
        if score == FAILURE:
            self.searcher.on_trial_complete(trial, error=True)
            return
        if math.isfinite(score):
            self.scores.append(score)
        self.searcher.on_trial_complete(trial, {"score": score, "done": True})


def repeated(configs: Sequence[Params]) -> list[str]:
    """The configurations that are there more than once."""
    seen: set[str] = set()
    return [text for text in map(repr, configs) if text in seen or seen.add(text)]  # type: ignore[func-returns-value]
