"""Searchers over libraries that have no notion of failures and of trials in flight."""

from __future__ import annotations

import random
import statistics
from abc import abstractmethod

from raytuner.search.ask_tell import AskTellSearcher
from raytuner.search.dimensions import Dimensions, Value
from raytuner.search.task import Task
from raytuner.space import Raw

Point = dict[str, Value]

MOST = 100
"""So many points are modelled at the most; each suggestion takes the longer the more there are."""
BEST = 40
"""So many of them are the best; the others are the newest."""


class RefitSearcher(AskTellSearcher):
    """What searchers have in common whose library is told everything anew for each suggestion.

    That lets what the library does not know stand as what it does, always by the newest results: a failure as the
    worst loss so far, a trial in flight as the mean ("constant liar": Ginsbourger, Le Riche and Carraro, "Kriging is
    well-suited to parallelize optimization", 2010).

    Args:
        task: What is searched.
        n_startup_trials: So many points are drawn at random first.
    """

    def __init__(self, task: Task, n_startup_trials: int) -> None:
        super().__init__(task)
        self.dimensions = Dimensions(task.space)
        self._startup = n_startup_trials
        self._random = random.Random(task.seed)
        self._points: dict[str, Point] = {}
        self._losses: dict[str, float | None] = {}  # of those that have ended; None is a failure

    @abstractmethod
    def propose(self, points: list[Point], losses: list[float]) -> Point:
        """The next point, from what is known."""

    def ask(self) -> Raw:
        """The next raw sample."""
        scored = [loss for loss in self._losses.values() if loss is not None]
        if len(self._points) < self._startup or not scored:
            return self.space.draw(self._random)
        failed, pending = max(scored), statistics.fmean(scored)
        known = {key: self._losses.get(key, pending) for key in self._points}
        losses = {key: failed if loss is None else loss for key, loss in known.items()}
        best = sorted(losses, key=losses.__getitem__)[:BEST]
        kept = [key for key in losses if key in {*best, *list(losses)[-(MOST - BEST) :]}]
        return self.dimensions.decode(self.propose([self._points[key] for key in kept], [losses[key] for key in kept]))

    def expect(self, raw: Raw) -> None:
        """See `AskTellSearcher.expect`."""
        self._points.setdefault(self.space.key(raw), self.dimensions.encode(raw))

    def tell(self, raw: Raw, loss: float | None) -> None:
        """See `AskTellSearcher.tell`."""
        self.expect(raw)
        self._losses[self.space.key(raw)] = loss

    def new_seed(self) -> int:
        """A seed for what the library draws for the next suggestion."""
        return self._random.getrandbits(32)
