"""Quasi-random points by SciPy."""

from __future__ import annotations

from collections.abc import Iterator

from scipy.stats import qmc

from raytuner.search.task import Task
from raytuner.space import Raw

MAX_REPEATS = 1000
"""After so many points that came before, the next may be one of them: the space seems to be exhausted."""


def sobol_points(task: Task) -> Iterator[Raw]:
    """Points of a scrambled Sobol sequence, none twice.

    Sobol, "On the distribution of points in a cube and the approximate evaluation of integrals", 1967; scrambled as in
    Owen, "Scrambling Sobol' and Niederreiter-Xing points", 1998.
    """
    tuned = {name: parameter for name, parameter in task.space.parameters.items() if parameter.size() != 1}
    fixed = {name: parameter.first() for name, parameter in task.space.parameters.items() if name not in tuned}
    engine = qmc.Sobol(len(tuned), scramble=True, rng=task.seed)
    seen = {task.space.key(point) for point in task.points}
    while True:
        for _ in range(MAX_REPEATS):
            shares = engine.random(1)[0].tolist()
            drawn = {name: part.quantile(share) for (name, part), share in zip(tuned.items(), shares, strict=True)}
            raw = {**fixed, **drawn}
            key = task.space.key(raw)
            if key not in seen:
                break
        seen.add(key)
        yield raw
