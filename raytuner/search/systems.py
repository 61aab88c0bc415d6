"""The search algorithms: how each is made; their libraries are imported when they are.

The keyword-only parameters of a function are the options of the algorithm.
"""

from __future__ import annotations

import itertools
import logging
import random
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge

from raytuner.search.task import Task
from raytuner.space import Choice, Normal, Parameter

if TYPE_CHECKING:
    from ray.tune.search import Searcher

MAX_LISTED = 1_000_000
"""So many values of a parameter can be listed or have a probability each."""


def grid(task: Task) -> Searcher:
    """Every configuration, the first parameter varying slowest."""
    from raytuner.search.basic import PointSearcher

    return PointSearcher(itertools.chain(task.points, task.space.points()), task)


def random_search(task: Task) -> Searcher:
    """Configurations drawn at random."""
    from raytuner.search.basic import PointSearcher

    rng = random.Random(task.seed)
    return PointSearcher(itertools.chain(task.points, iter(lambda: task.space.draw(rng), None)), task)


def auto(task: Task) -> Searcher:
    """A Gaussian process over matching values that weighs improvement against new work."""
    from raytuner.search.auto import AutoSearcher

    return AutoSearcher(task)


Sampler = Literal["tpe", "gp", "cmaes", "nsga2", "brute_force"]


def optuna(task: Task, *, sampler: Sampler = "tpe", n_startup_trials: Annotated[int, Ge(0)] = 10) -> Searcher:
    """Optuna's samplers.

    Args:
        task: What is searched.
        sampler: ``tpe`` is the tree-structured Parzen estimator, ``gp`` a Gaussian process, ``cmaes`` an evolution
            strategy of numbers, ``nsga2`` a genetic algorithm, ``brute_force`` every configuration.
        n_startup_trials: So many configurations are drawn at random first; for ``tpe``, ``gp`` and ``cmaes``.
    """
    import optuna as library

    from raytuner.search.optuna import OptunaSearcher, make_sampler

    library.logging.set_verbosity(library.logging.WARNING)
    return OptunaSearcher(task, make_sampler(sampler, task, n_startup_trials))


def hyperopt(task: Task, *, n_startup_trials: Annotated[int, Ge(1)] = 10) -> Searcher:
    """HyperOpt's tree-structured Parzen estimator.

    Args:
        task: What is searched.
        n_startup_trials: So many configurations are drawn at random first. HyperOpt's own default of 20 is most of a
            search of 30 trials; 10 is Optuna's number.
    """
    from raytuner.search.hyperopt import HyperOptSearcher

    logging.getLogger("hyperopt").setLevel(logging.WARNING)
    return HyperOptSearcher(task, n_startup_trials)


def grid_refuses(name: str, parameter: Parameter) -> str | None:
    """What a grid cannot take."""
    if parameter.size() is not None:
        return too_many(parameter)
    return "needs countable values; give it a step, e.g. {float: [0, 1], step: 0.1}"


def hyperopt_refuses(name: str, parameter: Parameter) -> str | None:
    """What HyperOpt cannot take."""
    return too_many(parameter) if isinstance(parameter, Choice) else None


def no_normal(name: str, parameter: Parameter) -> str | None:
    """What most systems cannot take."""
    return "has no normal distribution; give bounds" if isinstance(parameter, Normal) else None


def too_many(parameter: Parameter) -> str | None:
    """Why a parameter cannot be listed."""
    size = parameter.size() or 0
    return f"cannot list {size:,} values; give it a larger step" if size > MAX_LISTED else None
