"""Bayesian optimisation by the package bayesian-optimization."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from bayes_opt import BayesianOptimization
from bayes_opt.acquisition import ExpectedImprovement
from sklearn.gaussian_process.kernels import Matern

from raytuner.search.dimensions import Dimension, Value
from raytuner.search.refit import Point, RefitSearcher


class BayesOptSearcher(RefitSearcher):
    """Suggests what a Gaussian process expects most of; numbers that are logarithmic are so to it as well."""

    def propose(self, points: list[Point], losses: list[float]) -> Point:
        """See `RefitSearcher.propose`."""
        model = BayesianOptimization(
            None,
            {name: _bounds(part) for name, part in self.dimensions.items()},
            acquisition_function=ExpectedImprovement(xi=0.01),
            random_state=self.new_seed(),
            verbose=0,
        )
        # A length scale for each dimension, since they are not alike; the package's own kernel has one for all.
        width = np.ptp(model.space.bounds, axis=1)
        scales = Matern(nu=2.5, length_scale=width, length_scale_bounds=np.outer(width, [0.05, 20]))
        model.set_gp_params(kernel=scales)
        for point, loss in zip(points, losses, strict=True):
            model.register({name: _seen(self.dimensions[name], value) for name, value in point.items()}, -loss)
        suggested = model.suggest()
        return {name: math.exp(value) if self.dimensions[name].log else value for name, value in suggested.items()}


def _bounds(part: Dimension) -> Any:
    """The dimension as the package has it."""
    if part.kind == "category":
        return part.categories
    low, high = _seen(part, part.low), _seen(part, part.high)
    return (low, high, int if part.kind == "whole" and not part.log else float)


def _seen(part: Dimension, value: Value) -> Value:
    """A value as the package sees it."""
    return math.log(value) if part.log and not isinstance(value, str) else value
