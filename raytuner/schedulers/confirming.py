"""After a search, its leaders once more on held-out questions, in the same workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ray.tune.search import Searcher

from raytuner.schedulers.around import Around

LATE = "the budget is used up but for what it takes to confirm the winner"


class ConfirmingSearcher(Around):
    """Hands out what another searcher suggests and, when that has ended, stretches of held-out questions.

    Args:
        inner: `raytuner.search.guard.Guard`, or `RoundSearcher`.
        start: The first block of the held-out questions.
        leaders: Says which trials are to be confirmed, with their raw samples, when the search has ended.
        is_late: Whether trials, those in flight and one that is about to begin (None for a new one), would use up what
            it takes to confirm.
        begun: What an earlier driver has begun, by what the search calls it: ``number`` and ``point``, and
            ``unfinished`` if it has not ended.
    """

    def __init__(
        self,
        inner: Any,
        start: int,
        leaders: Callable[[Mapping[int, Any]], Sequence[int]],
        is_late: Callable[[Sequence[int | None]], bool] = lambda begun: False,
        begun: Mapping[str, dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(inner)
        self._start = start
        self._leaders = leaders
        self._is_late = is_late
        self._points: dict[int, Any] = {one["number"]: one["point"] for one in (begun or {}).values()}
        self._in_flight: dict[str, int] = {}
        self._waiting = {name: one["number"] for name, one in (begun or {}).items() if one.get("unfinished")}
        self._queue: deque[int] | None = None
        self._was_late = False

    @property
    def ended(self) -> str | None:
        """See `Guard.ended`."""
        return LATE if self._was_late else super().ended

    def goes_on(self, trial_id: str) -> bool | None:
        """Whether a trial that an earlier driver has begun goes on; None while that depends on what runs."""
        if trial_id in self._waiting:
            if self._is_late([*self._in_flight.values(), self._waiting[trial_id]]):
                if self._in_flight:
                    return None
                self._was_late = True
            number = self._waiting.pop(trial_id)
            if self._was_late:
                return False
            self._in_flight[trial_id] = number
        return True

    def suggest(self, trial_id: str) -> Any:
        """The next trial, or the next stretch of held-out questions; None while the last trials run."""
        if self._queue is None:
            found = self._suggested(trial_id)
            if isinstance(found, dict):
                self._points[found["number"]] = found["point"]
                self._in_flight[trial_id] = found["number"]
                return found
            if found is None or self._in_flight:
                return None
            self._queue = deque(self._leaders(self._points))
        if not self._queue:
            return Searcher.FINISHED
        number = self._queue.popleft()
        return {"number": number, "point": self._points[number], "start": self._start, "held_out": True}

    def _suggested(self, trial_id: str) -> Any:
        """What the search suggests, if it may begin; when no more may, also without those in flight, it ends."""
        if not self._was_late and not self._is_exhausted and self._is_late([*self._in_flight.values(), None]):
            if self._in_flight:  # which may be stopped, and take less
                return None
            self._was_late = True
        return Searcher.FINISHED if self._was_late else self._inner.suggest(trial_id)

    @property
    def _is_exhausted(self) -> bool:
        return self.at_most is not None and len(self._points) >= self.at_most

    def on_partial(self, trial_id: str, share: float, result: Mapping[str, Any]) -> None:
        """See `Guard.on_partial`."""
        if trial_id in self._in_flight:
            super().on_partial(trial_id, share, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the search of its trials; of the others it learns nothing."""
        if trial_id in self._in_flight:
            del self._in_flight[trial_id]
            self._inner.on_trial_complete(trial_id, result, error)
