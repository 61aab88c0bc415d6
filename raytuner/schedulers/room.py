"""As many trials at once as the cluster has room for now: nodes join while a search runs, and others are lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ray import tune

LOOK_S = 2.0


class Room(tune.Callback):  # type: ignore[misc]
    """Follows the room of a cluster with how many trials run at once.

    Args:
        limiter: Ray's ``ConcurrencyLimiter`` around the search, as it is at the beginning.
        count: How many trials fit now.
        expect: Called with how many more workers there will be.
        note: Called with what has changed, in words.
    """

    def __init__(
        self, limiter: Any, count: Callable[[], int], expect: Callable[[int], None], note: Callable[[str], None]
    ) -> None:
        self._limiter = limiter
        self._count = count
        self._expect = expect
        self._note = note
        self._next = time.monotonic() + LOOK_S

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks to a file that nobody reads."""
        return {}

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look at the cluster now and then."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_S
        number, before = max(self._count(), 1), self._limiter.max_concurrent
        if number == before:
            return
        if number > before:
            self._expect(number - before)
        self._limiter.max_concurrent = number
        self._note(f"the cluster has room for {number} trials at once now, {before} before")
