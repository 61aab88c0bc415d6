"""The search algorithms by name; their libraries are imported only when chosen."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from raytuner.errors import SearchError, SpaceError, nearest, quoted
from raytuner.space import Choice, Normal, Parameter, Range, Raw, SearchSpace

if TYPE_CHECKING:
    from ray.tune.search import Searcher

Make = Callable[..., "Searcher"]


@dataclass(frozen=True)
class Algorithm:
    """One search algorithm.

    Attributes:
        name: What ``--search`` takes.
        summary: A line for the table of algorithms.
        library: The package that it needs beyond raytuner's own code, if any.
        make: Makes Ray's ``Searcher`` over the raw space.
        refuses: Why it cannot take a parameter, with the fix; None if it can.
        models: Whether it makes a model of the results, which takes some milliseconds for each suggestion.
    """

    name: str
    summary: str
    library: str | None
    make: Make
    refuses: Callable[[str, Parameter], str | None] = lambda name, parameter: None
    models: bool = False

    def check(self, space: SearchSpace) -> None:
        """Check that this algorithm can search a space; imports nothing.

        Raises:
            SpaceError: With the parameter that it cannot take.
        """
        for name, parameter in space.parameters.items():
            reason = self.refuses(name, parameter)
            if reason is not None:
                raise SpaceError(f"{name}: {self.name} {reason}")

    @property
    def installed(self) -> bool:
        """Whether its library can be imported."""
        return self.library is None or importlib.util.find_spec(self.library) is not None


def _grid_refuses(name: str, parameter: Parameter) -> str | None:
    if parameter.size() is not None:
        return _too_many(parameter, "random or optuna")
    return (
        "needs countable values; give it a step, e.g. {float: [0, 1], step: 0.1}, "
        "or use --search random, optuna or hyperopt"
    )


MAX_LISTED = 1_000_000
"""So many values of a parameter can be listed or have a probability each."""


def _too_many(parameter: Parameter, others: str) -> str | None:
    size = parameter.size() or 0
    if size <= MAX_LISTED:
        return None
    return f"cannot list {size:,} values; give it a larger step, or use --search {others}"


def _hyperopt_refuses(name: str, parameter: Parameter) -> str | None:
    numbered = isinstance(parameter, Choice) or (isinstance(parameter, Range) and parameter.indexed)
    return _too_many(parameter, "random or optuna") if numbered else None


def _optuna_refuses(name: str, parameter: Parameter) -> str | None:
    if isinstance(parameter, Normal):
        return "has no normal distribution; give bounds, or use --search random or hyperopt"
    if "/" in name:
        return "takes no / in a name; rename it, or use --search random or hyperopt"
    return None


def _grid(space: SearchSpace, metric: str, mode: str, seed: int, points: Sequence[Raw]) -> Searcher:
    from raytuner.search.basic import PointSearcher

    return PointSearcher([*points], space.points(), metric, mode)


def _random(space: SearchSpace, metric: str, mode: str, seed: int, points: Sequence[Raw]) -> Searcher:
    from raytuner.search.basic import PointSearcher

    rng = random.Random(seed)
    return PointSearcher([*points], iter(lambda: space.draw(rng), None), metric, mode)


def _optuna(space: SearchSpace, metric: str, mode: str, seed: int, points: Sequence[Raw]) -> Searcher:
    import optuna
    from ray.tune.search.optuna import OptunaSearch

    from raytuner.search.optuna import OptunaSearcher, tpe
    from raytuner.space_ray import to_ray

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return OptunaSearcher(OptunaSearch.convert_search_space(to_ray(space)), tpe(seed), metric, mode, points)


def _hyperopt(space: SearchSpace, metric: str, mode: str, seed: int, points: Sequence[Raw]) -> Searcher:
    from ray.tune.search.hyperopt import HyperOptSearch

    from raytuner.space_ray import to_ray

    logging.getLogger("hyperopt").setLevel(logging.WARNING)
    # HyperOpt draws 20 points at random by default, most of a search of 30 trials; 10 is Optuna's number.
    return HyperOptSearch(
        HyperOptSearch.convert_search_space(to_ray(space)),
        metric=metric,
        mode=mode,
        random_state_seed=seed,
        n_initial_points=10,
        points_to_evaluate=[dict(point) for point in points] or None,
    )


ALGORITHMS: dict[str, Algorithm] = {
    found.name: found
    for found in (
        Algorithm("grid", "every configuration, the first parameter varying slowest", None, _grid, _grid_refuses),
        Algorithm("random", "configurations drawn at random, none twice", None, _random),
        Algorithm(
            "optuna",
            "Bayesian: tree-structured Parzen estimator of Optuna",
            "optuna",
            _optuna,
            _optuna_refuses,
            models=True,
        ),
        Algorithm(
            "hyperopt",
            "Bayesian: tree-structured Parzen estimator of HyperOpt",
            "hyperopt",
            _hyperopt,
            _hyperopt_refuses,
            models=True,
        ),
    )
}


DEFAULT_TRIALS = 30
"""How many configurations an algorithm tries that has no end of its own."""


def default_trials(name: str) -> int | None:
    """How many configurations are tried if no number is given: the whole grid, else `DEFAULT_TRIALS`."""
    return None if name == "grid" else DEFAULT_TRIALS


def algorithm(name: str) -> Algorithm:
    """Look up an algorithm.

    Raises:
        SearchError: With the nearest valid name, or with the package to install.
    """
    if name not in ALGORITHMS:
        raise SearchError(f"unknown search algorithm {quoted(name)}; {nearest(name, ALGORITHMS)}")
    found = ALGORITHMS[name]
    if not found.installed:
        raise SearchError(f"search {name!r} needs the package {found.library}; pip install {found.library}")
    return found


def make_searcher(
    name: str,
    space: SearchSpace,
    metric: str,
    mode: str,
    seed: int = 0,
    *,
    trials: int | None = None,
    points: Sequence[Raw] = (),
    **options: Any,
) -> Searcher:
    """Make a searcher that keeps raytuner's contract; see `raytuner.search.guard.Guard`.

    Args:
        name: One of `ALGORITHMS`.
        space: The search space.
        metric: The value to optimise.
        mode: ``max`` or ``min``.
        seed: Fixes the sequence of configurations.
        trials: The most configurations to evaluate; None is no limit of its own.
        points: Raw samples to evaluate first.
        **options: Options of the algorithm; none of these four has any.

    Returns:
        The searcher, to be given to ``ray.tune.TuneConfig(search_alg=...)`` with ``num_samples=-1``.

    Raises:
        SearchError: An unknown algorithm or option, or a wrong mode.
        SpaceError: The algorithm cannot express the space.
    """
    from raytuner.search.guard import MAX_REJECTED, Guard

    found = algorithm(name)
    if options:
        raise SearchError(f"search {name!r} has no option {next(iter(options))!r}; it takes none")
    if mode not in ("max", "min"):
        raise SearchError(f"mode is {mode!r}; it must be max or min")
    if trials is not None and trials < 1:
        raise SearchError(f"trials is {trials}; it must be at least 1")
    found.check(space)
    if space.size() == 0:
        space.default()  # says which rule no configuration keeps
    make = _grid if space.size() == 1 else found.make  # there is nothing to model in a single point
    patience = 2 if found.models else MAX_REJECTED
    inner = make(space, metric, mode, seed, points)
    return Guard(space, inner, metric, mode, trials=trials, seed=seed, patience=patience)
