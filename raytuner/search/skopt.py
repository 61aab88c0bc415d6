"""Bayesian optimisation by scikit-optimize."""

from __future__ import annotations

from skopt import Optimizer
from skopt.space import Categorical, Integer, Real
from skopt.space import Dimension as SkoptDimension

from raytuner.search.dimensions import Dimension
from raytuner.search.refit import Point, RefitSearcher
from raytuner.search.task import Task


class SkoptSearcher(RefitSearcher):
    """Suggests what scikit-optimize's model expects most of.

    Args:
        task: What is searched.
        n_startup_trials: So many points are drawn at random first.
        model: scikit-optimize's name of the model.
    """

    def __init__(self, task: Task, n_startup_trials: int, model: str) -> None:
        super().__init__(task, n_startup_trials)
        self._model = model

    def propose(self, points: list[Point], losses: list[float]) -> Point:
        """See `RefitSearcher.propose`."""
        optimizer = Optimizer(
            [_dimension(part) for part in self.dimensions.values()],
            base_estimator=self._model,
            n_initial_points=0,
            acq_func="EI",
            random_state=self.new_seed(),
        )
        optimizer.tell([list(point.values()) for point in points], losses)
        return dict(zip(self.dimensions, optimizer.ask(), strict=True))


def _dimension(part: Dimension) -> SkoptDimension:
    """The dimension as scikit-optimize has it."""
    if part.kind == "category":
        return Categorical(part.categories)
    made = Integer if part.kind == "whole" else Real
    return made(part.low, part.high, prior="log-uniform" if part.log else "uniform")
