"""The search algorithms: how each is made; their libraries are imported when they are.

The keyword-only parameters of a function are the options of the algorithm.
"""

from __future__ import annotations

import itertools
import logging
import random
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Le

from raytuner.search.task import Task
from raytuner.space import Choice, Normal, Parameter, Range

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


def sobol(task: Task) -> Searcher:
    """Points of a Sobol sequence, spread out more evenly than at random."""
    from raytuner.search.basic import PointSearcher
    from raytuner.search.sobol import sobol_points

    return PointSearcher(itertools.chain(task.points, sobol_points(task)), task)


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

    from raytuner.search.optuna import Excess, OptunaSearcher, make_sampler

    library.logging.set_verbosity(library.logging.ERROR)  # it warns of what a sampler draws at random
    excess = Excess() if any(goal.limit is not None for goal in task.goals) else None
    return OptunaSearcher(task, make_sampler(sampler, task, n_startup_trials, excess), excess)


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


def bayesopt(task: Task, *, n_startup_trials: Annotated[int, Ge(1)] = 10) -> Searcher:
    """A Gaussian process by bayesian-optimization.

    Args:
        task: What is searched.
        n_startup_trials: So many configurations are drawn at random first.
    """
    from raytuner.search.bayesopt import BayesOptSearcher

    return BayesOptSearcher(task, n_startup_trials)


SkoptModel = Literal["gp", "rf", "et"]


def skopt(task: Task, *, model: SkoptModel = "gp", n_startup_trials: Annotated[int, Ge(1)] = 10) -> Searcher:
    """The models of scikit-optimize.

    Args:
        task: What is searched.
        model: ``gp`` is a Gaussian process, ``rf`` a random forest, ``et`` extremely randomised trees. Its fourth
            one, ``gbrt``, does not work with today's scikit-learn.
        n_startup_trials: So many configurations are drawn at random first.
    """
    from raytuner.search.skopt import SkoptSearcher

    return SkoptSearcher(task, n_startup_trials, model)


def smac(task: Task, *, n_startup_trials: Annotated[int, Ge(1)] = 10) -> Searcher:
    """SMAC3's random forest.

    Args:
        task: What is searched.
        n_startup_trials: So many configurations of a Sobol sequence come first.
    """
    from raytuner.search.smac import SmacSearcher

    logging.getLogger("smac").setLevel(logging.ERROR)
    return SmacSearcher(task, n_startup_trials)


Fraction = Annotated[float, Ge(0), Le(1)]


def bohb(task: Task, *, random_fraction: Fraction = 0.33) -> Searcher:
    """The kernel density estimators of BOHB.

    Args:
        task: What is searched.
        random_fraction: So many of the configurations are drawn at random, beside those before there is a model.
    """
    from raytuner.search.bohb import BohbSearcher

    logging.getLogger("hpbandster").setLevel(logging.ERROR)
    return BohbSearcher(task, random_fraction)


def flaml(task: Task, *, variant: Literal["blendsearch", "cfo"] = "blendsearch") -> Searcher:
    """FLAML's searchers.

    Args:
        task: What is searched.
        variant: ``cfo`` is a local search that starts anew where it has converged, ``blendsearch`` mixes it with
            Optuna's estimator.
    """
    import optuna as library

    from raytuner.search.flaml import FlamlSearcher

    library.logging.set_verbosity(library.logging.ERROR)
    for name in ("flaml", "ray.tune.search.optuna"):  # the latter warns of points that come again
        logging.getLogger(name).setLevel(logging.ERROR)
    return FlamlSearcher(task, variant)


def ax(task: Task, *, n_startup_trials: Annotated[int, Ge(1)] = 5) -> Searcher:
    """Ax, a Gaussian process by BoTorch.

    Args:
        task: What is searched.
        n_startup_trials: So many configurations of a Sobol sequence come first.
    """
    logging.disable(logging.INFO)  # Ax tells of itself while it is imported
    try:
        from ax.utils.common.logger import set_stderr_log_level

        from raytuner.search.ax import AxSearcher
    finally:
        logging.disable(logging.NOTSET)
    set_stderr_log_level(logging.CRITICAL)
    return AxSearcher(task, n_startup_trials)


def grid_refuses(name: str, parameter: Parameter) -> str | None:
    """What a grid cannot take."""
    if parameter.size() is not None:
        return too_many(parameter)
    return "needs countable values; give it a step, e.g. {float: [0, 1], step: 0.1}"


def hyperopt_refuses(name: str, parameter: Parameter) -> str | None:
    """What HyperOpt cannot take."""
    return too_many(parameter) if isinstance(parameter, Choice) else None


def brute_force_refuses(name: str, parameter: Parameter) -> str | None:
    """What Optuna's brute-force sampler cannot take."""
    if isinstance(parameter, Range) and not parameter.indexed and not (parameter.integer and parameter.step == 1):
        return "with sampler brute_force needs countable values; give it a step, and no log"
    return None


def no_normal(name: str, parameter: Parameter) -> str | None:
    """What most systems cannot take."""
    return "has no normal distribution; give bounds" if isinstance(parameter, Normal) else None


def too_many(parameter: Parameter) -> str | None:
    """Why a parameter cannot be listed."""
    size = parameter.size() or 0
    return f"cannot list {size:,} values; give it a larger step" if size > MAX_LISTED else None
