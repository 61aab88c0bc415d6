"""A searcher for each algorithm in an environment of its own, over the raw space."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytuner.errors import SearchError
from raytuner.search.bridge.environment import python_of
from raytuner.space import Normal, Parameter, Raw, SearchSpace

if TYPE_CHECKING:
    from ray.tune.search import Searcher

TIMEOUT_S = 300.0
"""Seconds for a suggestion, of every algorithm here; the option ``timeout``."""


def refuses(name: str, parameter: Parameter) -> str | None:
    """Why none of these algorithms can take a parameter; None if they can."""
    if isinstance(parameter, Normal):
        return "has no normal distribution; give bounds, or use --search random or hyperopt"
    return None


def nevergrad(
    space: SearchSpace,
    metric: str,
    mode: str,
    seed: int,
    points: Sequence[Raw],
    *,
    optimizer: str = "NGOpt",
    budget: int = 100,
    workers: int = 1,
    timeout: float = TIMEOUT_S,
) -> Searcher:
    """Nevergrad's derivative-free optimisers.

    Args:
        space: The search space.
        metric: The value to optimise.
        mode: ``max`` or ``min``.
        seed: Of its random numbers.
        points: Raw samples to evaluate first.
        optimizer: A name in nevergrad's registry of optimisers; ``NGOpt`` picks one by the space and the budget.
        budget: The number of trials that it plans for.
        workers: The number of trials at once that it plans for.
        timeout: Seconds for a suggestion.
    """
    checked(budget=budget, workers=workers)
    options = {"optimizer": optimizer, "budget": budget, "workers": workers}
    return _searcher("nevergrad", space, metric, mode, seed, points, options, timeout)


def hebo(
    space: SearchSpace,
    metric: str,
    mode: str,
    seed: int,
    points: Sequence[Raw],
    *,
    model: str = "gp",
    first: int | None = None,
    timeout: float = TIMEOUT_S,
) -> Searcher:
    """HEBO: heteroscedastic evolutionary Bayesian optimisation (Cowen-Rivers et al. 2022).

    Args:
        space: The search space.
        metric: The value to optimise.
        mode: ``max`` or ``min``.
        seed: Of its random numbers.
        points: Raw samples to evaluate first.
        model: ``gp`` (a Gaussian process) or ``rf`` (a random forest).
        first: The points of a Sobol sequence before the model's; one more than parameters by default.
        timeout: Seconds for a suggestion.
    """
    if model not in ("gp", "rf"):
        raise SearchError(f"option model is {model!r}; it must be gp or rf")
    checked(**({} if first is None else {"first": first}))
    return _searcher("hebo", space, metric, mode, seed, points, {"model": model, "first": first}, timeout)


def sigopt(
    space: SearchSpace,
    metric: str,
    mode: str,
    seed: int,
    points: Sequence[Raw],
    *,
    budget: int = 100,
    timeout: float = TIMEOUT_S,
) -> Searcher:
    """SigOpt's engine for local use, sigoptlite; the hosted service is gone.

    Args:
        space: The search space.
        metric: The value to optimise.
        mode: ``max`` or ``min``.
        seed: Of its random numbers.
        points: Raw samples to evaluate first.
        budget: The number of trials that it plans for.
        timeout: Seconds for a suggestion.
    """
    checked(budget=budget)
    return _searcher("sigopt", space, metric, mode, seed, points, {"budget": budget}, timeout)


def dragonfly(
    space: SearchSpace,
    metric: str,
    mode: str,
    seed: int,
    points: Sequence[Raw],
    *,
    acquisition: str = "default",
    first: int | None = None,
    timeout: float = TIMEOUT_S,
) -> Searcher:
    """Dragonfly's Bayesian optimisation (Kandasamy et al. 2020).

    Args:
        space: The search space.
        metric: The value to optimise.
        mode: ``max`` or ``min``.
        seed: Of its random numbers.
        points: Raw samples to evaluate first.
        acquisition: Names of acquisitions with ``-`` between them, of which one is drawn each time: ``ei``, ``ucb``,
            ``ttei``, ``ts``; ``default`` is Dragonfly's choice.
        first: The points before the model's; 5, or one more than parameters, by default.
        timeout: Seconds for a suggestion.
    """
    known = ("default", "ei", "ucb", "ttei", "ts")
    if not set(acquisition.split("-")) <= set(known):
        raise SearchError(f"option acquisition is {acquisition!r}; valid: {', '.join(known)}, several as ei-ucb")
    checked(**({} if first is None else {"first": first}))
    options = {"acquisition": acquisition, "first": first}
    return _searcher("dragonfly", space, metric, mode, seed, points, options, timeout)


MAKERS: dict[str, Callable[..., Searcher]] = {
    "nevergrad": nevergrad,
    "hebo": hebo,
    "sigopt": sigopt,
    "dragonfly": dragonfly,
}
"""The functions by the names of the algorithms."""


def default_options(name: str) -> dict[str, Any]:
    """The options of an algorithm with their defaults, without ``timeout``."""
    parameters = inspect.signature(MAKERS[name]).parameters.values()
    options = {part.name: part.default for part in parameters if part.kind is part.KEYWORD_ONLY}
    del options["timeout"]
    return options


def check_runs(name: str, python: Path) -> None:
    """Check that an environment's Python suggests a point.

    Args:
        name: The algorithm.
        python: The path of the Python.

    Raises:
        SearchError: It does not.
    """
    from raytuner.search.bridge.searcher import BridgeSearcher

    space = SearchSpace.from_dict({"a": ["x", "y"], "b": {"float": [0, 1]}})
    options = default_options(name)
    searcher = BridgeSearcher(name, python, space, "score", "max", 0, (), options=options, timeout=TIMEOUT_S)
    found = searcher.suggest("1")
    searcher.close()
    if not isinstance(found, dict):
        raise SearchError(f"{searcher.ended}")


def checked(**counts: object) -> None:
    """Check options that are numbers of trials.

    Raises:
        SearchError: One is not a whole number from 1 to a million.
    """
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1_000_000:
            raise SearchError(f"option {name} is {value!r}; it must be a whole number from 1 to 1000000")


def _searcher(
    name: str,
    space: SearchSpace,
    metric: str,
    mode: str,
    seed: int,
    points: Sequence[Raw],
    options: dict[str, Any],
    timeout: float,
) -> Searcher:
    from raytuner.search.bridge.searcher import BridgeSearcher

    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 86_400:
        raise SearchError(f"option timeout is {timeout!r}; it must be a number of seconds from 0 to 86400")
    return BridgeSearcher(name, python_of(name), space, metric, mode, seed, points, options=options, timeout=timeout)
