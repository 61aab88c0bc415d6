"""All configurations at once, handed to Tune in rounds: each a stretch of blocks of every one that is left."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ray.tune.search import Searcher

from raytuner.past import PastTrial
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
        past: What of them an earlier driver has done, by number.
    """

    def __init__(
        self,
        inner: Guard,
        rule: Batch,
        block_size: int,
        on_drop: Callable[[int, str], None],
        past: Mapping[int, PastTrial] | None = None,
    ) -> None:
        super().__init__(inner)
        self._past = past or {}
        self._rule = rule
        self._size = block_size
        self._on_drop = on_drop
        self._points = {found["number"]: found["point"] for found in _all(inner)}
        self._in_flight: set[str] = set()
        self._done = 0  # blocks
        self._queue = self._round(list(self._points))

    def suggest(self, trial_id: str) -> Any:
        """The next stretch; None while a round ends, `Searcher.FINISHED` after the last one."""
        while not self._queue and not self._in_flight:
            numbers = self._left()
            if not numbers:
                return Searcher.FINISHED
            self._queue = self._round(numbers)
        if not self._queue:
            return None
        self._in_flight.add(trial_id)
        return self._queue.popleft()

    def on_partial(self, trial_id: str, share: float, result: Mapping[str, Any]) -> None:
        """Nothing learns from it."""

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A stretch has ended."""
        self._in_flight.discard(trial_id)

    def _left(self) -> list[int]:
        """The configurations of the next round."""
        for number, why in self._rule.drop().items():
            self._on_drop(number, why)
        for number in self._rule.revive():
            self._done = math.ceil(self._rule.count(number) / self._size)
        return sorted(self._rule.running)

    def _round(self, numbers: list[int]) -> deque[dict[str, Any]]:
        """The next stretch of each: up to the next look, or to the end."""
        start, blocks = self._done, math.ceil((self._rule.total or 0) / self._size)
        looks = (block for block in range(start + 1, blocks) if self._rule.is_look(block * self._size))
        until = next(looks, None)
        self._done = until or blocks
        stretches = ((one, self._replayed(one, start, self._done)) for one in numbers)
        return deque(
            {
                "number": one,
                "point": self._points[one],
                "start": first,
                "until": until,
                "failed": self._rule.failed(one),
            }
            for one, first in stretches
            if first is not None
        )

    def _replayed(self, number: int, start: int, end: int) -> int | None:
        """Tell the rule what is known of a stretch already.

        Returns:
            The block from which on it is not known; None if all of it is, or the trial has ended.
        """
        past = self._past.get(number)
        if past is None:
            return start
        self._rule.begin(number)
        for values in past.blocks[start:end]:
            self._rule.block(number, values)
        known = max(start, min(end, len(past.blocks)))
        is_lost = past.is_stopped or past.is_failed  # at the look, or in the block, after those that are known
        if past.end is not None and known == len(past.blocks) and (known < end or not is_lost):
            if past.is_stopped:
                self._rule.running.discard(number)
            else:
                self._rule.end(number, failed=past.is_failed)
            return None
        return None if known == end else known


def _all(searcher: Guard) -> Iterator[dict[str, Any]]:
    number = 0
    while isinstance(found := searcher.suggest(f"round {number}"), dict):
        number += 1
        yield found
