"""A searcher around another one, for Tune."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray.tune.search import Searcher


class Around(Searcher):  # type: ignore[misc]
    """Passes on what it does not change itself.

    Args:
        inner: `raytuner.search.guard.Guard`, or another one around it.
    """

    def __init__(self, inner: Any) -> None:
        super().__init__(metric=inner.metric, mode=inner.mode)
        self._inner = inner

    @property
    def ended(self) -> str | None:
        """See `Guard.ended`."""
        found: str | None = self._inner.ended
        return found

    @property
    def rejected_invalid(self) -> int:
        """See `Guard.rejected_invalid`."""
        return int(self._inner.rejected_invalid)

    @property
    def at_most(self) -> int | None:
        """See `Guard.at_most`."""
        found: int | None = self._inner.at_most
        return found

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """The scheduler has seen it."""

    def on_partial(self, trial_id: str, share: float, result: Mapping[str, Any]) -> None:
        """See `Guard.on_partial`."""
        self._inner.on_partial(trial_id, share, result)

    def save(self, checkpoint_path: str) -> None:
        """See `Guard.save`."""
        self._inner.save(checkpoint_path)

    def restore(self, checkpoint_path: str) -> None:
        """See `Guard.restore`."""
        self._inner.restore(checkpoint_path)

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles the searcher to a file that nobody reads."""
        return {}
