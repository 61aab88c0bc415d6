"""A searcher for each algorithm in an environment of its own; the keyword-only parameters are its options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Le
from pydantic import AfterValidator

from raytuner.search.bridge.environment import python_of
from raytuner.search.task import Task
from raytuner.space import SearchSpace

if TYPE_CHECKING:
    from ray.tune.search import Searcher

TIMEOUT_S = 300.0
BUDGET = 100
"""The number of trials that is planned for where it is not known."""

Count = Annotated[int, Ge(1), Le(1_000_000)]
Seconds = Annotated[float, Gt(0), Le(86_400)]


def nevergrad(
    task: Task,
    *,
    optimizer: str = "NGOpt",
    budget: Count | None = None,
    workers: Count = 1,
    timeout: Seconds = TIMEOUT_S,
) -> Searcher:
    """Nevergrad's derivative-free optimisers.

    Args:
        task: What is searched.
        optimizer: A name in nevergrad's registry of optimisers; ``NGOpt`` picks one by the space and the budget.
        budget: The number of trials that it plans for; by default that of the search.
        workers: The number of trials at once that it plans for.
        timeout: Seconds for a suggestion.
    """
    options = {"optimizer": optimizer, "budget": budget or task.trials or BUDGET, "workers": workers}
    return _searcher("nevergrad", task, options, timeout)


def hebo(
    task: Task,
    *,
    model: Literal["gp", "rf"] = "gp",
    n_startup_trials: Count | None = None,
    timeout: Seconds = TIMEOUT_S,
) -> Searcher:
    """HEBO: heteroscedastic evolutionary Bayesian optimisation (Cowen-Rivers et al. 2022).

    Args:
        task: What is searched.
        model: ``gp`` is a Gaussian process, ``rf`` a random forest.
        n_startup_trials: So many points of a Sobol sequence come first; by default one more than parameters.
        timeout: Seconds for a suggestion.
    """
    return _searcher("hebo", task, {"model": model, "first": n_startup_trials}, timeout)


def sigopt(task: Task, *, budget: Count | None = None, timeout: Seconds = TIMEOUT_S) -> Searcher:
    """SigOpt's engine for local use, sigoptlite; the hosted service is gone.

    Args:
        task: What is searched.
        budget: The number of trials that it plans for; by default that of the search.
        timeout: Seconds for a suggestion.
    """
    return _searcher("sigopt", task, {"budget": budget or task.trials or BUDGET}, timeout)


ACQUISITIONS = ("default", "ei", "ucb", "ttei", "ts")


def _acquisitions(value: str) -> str:
    if not set(value.split("-")) <= set(ACQUISITIONS):
        raise ValueError(f"one of {', '.join(ACQUISITIONS)}, or several as ei-ucb")
    return value


def dragonfly(
    task: Task,
    *,
    acquisition: Annotated[str, AfterValidator(_acquisitions)] = "default",
    n_startup_trials: Count | None = None,
    timeout: Seconds = TIMEOUT_S,
) -> Searcher:
    """Dragonfly's Bayesian optimisation (Kandasamy et al. 2020).

    Args:
        task: What is searched.
        acquisition: Names of acquisitions with ``-`` between them, of which one is drawn each time: ``ei``, ``ucb``,
            ``ttei``, ``ts``; ``default`` is Dragonfly's choice.
        n_startup_trials: So many points come before the model's; by default 5, or one more than parameters.
        timeout: Seconds for a suggestion.
    """
    return _searcher("dragonfly", task, {"acquisition": acquisition, "first": n_startup_trials}, timeout)


MAKERS: dict[str, Callable[..., Searcher]] = {
    "nevergrad": nevergrad,
    "hebo": hebo,
    "sigopt": sigopt,
    "dragonfly": dragonfly,
}
"""The functions by the names of the algorithms."""

_DEFAULTS: dict[str, dict[str, Any]] = {
    "nevergrad": {"optimizer": "NGOpt", "budget": BUDGET, "workers": 1},
    "hebo": {"model": "gp", "first": None},
    "sigopt": {"budget": BUDGET},
    "dragonfly": {"acquisition": "default", "first": None},
}


def check_runs(name: str, python: Path) -> None:
    """Check that an environment's Python suggests a point.

    Args:
        name: The algorithm.
        python: The path of the Python.

    Raises:
        SearchError: It does not.
    """
    from raytuner.search.bridge.searcher import BridgeSearcher

    task = Task(SearchSpace.from_dict({"a": ["x", "y"], "b": {"float": [0, 1]}}), "score", "max")
    searcher = BridgeSearcher(name, python, task, options=_DEFAULTS[name], timeout=TIMEOUT_S)
    try:
        searcher.suggest("1")
    finally:
        searcher.close()


def _searcher(name: str, task: Task, options: dict[str, Any], timeout: float) -> Searcher:
    from raytuner.search.bridge.searcher import BridgeSearcher

    return BridgeSearcher(name, python_of(name), task, options=options, timeout=timeout)
