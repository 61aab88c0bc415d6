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
        is_late: Whether no more trials should begin, so that enough of the budget is left to confirm.
        begun: What an earlier driver has begun, by what the search calls it: ``number`` and ``point``, and
            ``unfinished`` if it has not ended.
    """

    def __init__(
        self,
        inner: Any,
        start: int,
        leaders: Callable[[Mapping[int, Any]], Sequence[int]],
        is_late: Callable[[], bool] = lambda: False,
        begun: Mapping[str, dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(inner)
        self._start = start
        self._leaders = leaders
        self._is_late = is_late
        self._points: dict[int, Any] = {one["number"]: one["point"] for one in (begun or {}).values()}
        self._in_flight: set[str] = {name for name, one in (begun or {}).items() if one.get("unfinished")}
        self._queue: deque[int] | None = None
        self._was_late = False

    @property
    def ended(self) -> str | None:
        """See `Guard.ended`."""
        return LATE if self._was_late else super().ended

    def suggest(self, trial_id: str) -> Any:
        """The next trial, or the next stretch of held-out questions; None while the last trials run."""
        if self._queue is None:
            self._was_late = self._was_late or self._is_late()
            found = Searcher.FINISHED if self._was_late else self._inner.suggest(trial_id)
            if isinstance(found, dict):
                self._points[found["number"]] = found["point"]
                self._in_flight.add(trial_id)
                return found
            if found is None or self._in_flight:
                return None
            self._queue = deque(self._leaders(self._points))
        if not self._queue:
            return Searcher.FINISHED
        number = self._queue.popleft()
        return {"number": number, "point": self._points[number], "start": self._start, "held_out": True}

    def on_partial(self, trial_id: str, share: float, result: Mapping[str, Any]) -> None:
        """See `Guard.on_partial`."""
        if trial_id in self._in_flight:
            super().on_partial(trial_id, share, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the search of its trials; of the others it learns nothing."""
        if trial_id in self._in_flight:
            self._in_flight.discard(trial_id)
            self._inner.on_trial_complete(trial_id, result, error)
