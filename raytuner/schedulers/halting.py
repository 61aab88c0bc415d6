"""A search that ends when nothing more may be spent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from raytuner.schedulers.around import Around
from raytuner.schedulers.unfinished import Losses


class HaltingSearcher(Around):
    """Hands out what another searcher suggests until something says why no more is run.

    Args:
        inner: The search as a whole.
        halted: Why no more is run; None as long as more is.
        losses: Says which trials go on whose worker was lost.
    """

    def __init__(self, inner: Any, halted: Callable[[], str | None], losses: Losses) -> None:
        super().__init__(inner)
        self._halted = halted
        self.losses = losses

    @property
    def ended(self) -> str | None:
        """See `Guard.ended`."""
        return self._halted() or super().ended

    def suggest(self, trial_id: str) -> Any:
        """The next trial; `Searcher.FINISHED` when no more is run."""
        return Searcher.FINISHED if self._halted() else self._inner.suggest(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """See `Guard.on_trial_complete`."""
        self._inner.on_trial_complete(trial_id, result, error)
