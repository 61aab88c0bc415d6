"""Grid and random search: Ray's own generator for them is no ``Searcher``."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from ray.tune.search import Searcher

from raytuner.space import Raw


class PointSearcher(Searcher):  # type: ignore[misc]
    """Suggests given points in their order, whatever the results are.

    Args:
        first: Points to suggest before all others.
        rest: The others; it may be endless.
        metric: The value to optimise.
        mode: ``max`` or ``min``.
    """

    def __init__(self, first: Iterable[Raw], rest: Iterator[Raw], metric: str, mode: str) -> None:
        super().__init__(metric=metric, mode=mode)
        self._points = itertools.chain(first, rest)

    def suggest(self, trial_id: str) -> Any:
        """The next point, or that there is none left."""
        return next(self._points, Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Results do not matter here."""
