"""All configurations at once, handed to Tune in rounds: each a stretch of blocks of every one that is left."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ray.tune.search import Searcher

from raytuner.schedulers.around import Around
from raytuner.schedulers.batch import Batch
from raytuner.search.guard import Guard


class RoundSearcher(Around):
    """Hands out what `Guard` suggests again and again, until it is dropped or has answered all questions.

    To Tune each stretch of a trial is a trial of its own, with the same number: nothing has to be saved where a trial
    waits for the others, since what is known of it is in the study.

    Args:
        inner: Suggests the configurations, all beforehand.
        rule: Drops them.
        block_size: How many questions there are in a block.
        on_drop: Called with the number of a configuration that is dropped, and why.
    """

    def __init__(self, inner: Guard, rule: Batch, block_size: int, on_drop: Callable[[int, str], None]) -> None:
        super().__init__(inner)
        self._rule = rule
        self._size = block_size
        self._on_drop = on_drop
        self._points = {found["number"]: found["point"] for found in _all(inner)}
        self._in_flight: set[str] = set()
        self._done = 0  # blocks
        self._queue = self._round(list(self._points))

    def suggest(self, trial_id: str) -> Any:
        """The next stretch; None while a round ends, `Searcher.FINISHED` after the last one."""
        if not self._queue and not self._in_flight:
            self._queue = self._next_round()
            if not self._queue:
                return Searcher.FINISHED
        if not self._queue:
            return None
        self._in_flight.add(trial_id)
        return self._queue.popleft()

    def on_partial(self, trial_id: str, share: float, result: Mapping[str, Any]) -> None:
        """Nothing learns from it."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A stretch has ended."""
        self._in_flight.discard(trial_id)

    def _next_round(self) -> deque[dict[str, Any]]:
        for number, why in self._rule.drop().items():
            self._on_drop(number, why)
        for number in self._rule.revive():
            self._done = math.ceil(self._rule.count(number) / self._size)
        return self._round(sorted(self._rule.running))

    def _round(self, numbers: list[int]) -> deque[dict[str, Any]]:
        """The next stretch of each: up to the next look, or to the end."""
        start, blocks = self._done, math.ceil((self._rule.total or 0) / self._size)
        looks = (block for block in range(start + 1, blocks) if self._rule.is_look(block * self._size))
        until = next(looks, None)
        self._done = until or blocks
        points = self._points
        failed = self._rule.failed
        return deque(
            {"number": one, "point": points[one], "start": start, "until": until, "failed": failed(one)}
            for one in numbers
        )


def _all(searcher: Guard) -> Iterator[dict[str, Any]]:
    number = 0
    while isinstance(found := searcher.suggest(f"round {number}"), dict):
        number += 1
        yield found
