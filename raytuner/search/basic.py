"""Searchers whose points do not depend on results: Ray's own generator for them is no ``Searcher``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ray.tune.search import Searcher

from raytuner.search.task import Task
from raytuner.space import Raw


class PointSearcher(Searcher):  # type: ignore[misc]
    """Suggests given points in their order, whatever the results are.

    Args:
        points: The points; they may be endless.
        task: What is searched.
    """

    def __init__(self, points: Iterator[Raw], task: Task) -> None:
        super().__init__(metric=task.metric, mode=task.mode)
        self._points = points

    def suggest(self, trial_id: str) -> Any:
        """The next point, or that there is none left."""
        return next(self._points, Searcher.FINISHED)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Results do not matter here."""
