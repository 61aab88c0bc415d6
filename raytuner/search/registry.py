"""The search algorithms by name; their libraries are imported only when chosen."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from numbers import Integral
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from raytuner.errors import RaytunerError, SearchError, SpaceError, in_a_line, nearest, quoted
from raytuner.goals import Goal, are_plain, with_modes
from raytuner.search import systems
from raytuner.search.algorithm import Algorithm, Capability, Library, Make
from raytuner.search.bridge import environment
from raytuner.search.bridge import systems as bridge
from raytuner.search.quiet import quiet
from raytuner.search.task import MAX_SEED, Evaluated, Task, Work
from raytuner.space import Raw, SearchSpace

if TYPE_CHECKING:
    from ray.tune.search import Searcher

GROUP = "raytuner.search"
"""The group of entry points by which other packages add algorithms: a name, and an `Algorithm`."""


def _learning(
    name: str, summary: str, make: Make, library: Library | None = None, *also: Capability, **more: Any
) -> Algorithm:
    """An algorithm that makes a model of the results; what all of these have in common, and what else it can do."""
    can = frozenset[Capability]({"mixed", "replays", *also})
    return Algorithm(name, summary, make, library, **{"can": can, "refuses": systems.no_normal, "models": True, **more})


def _elsewhere(name: str, summary: str) -> Algorithm:
    """One that runs in an environment of its own."""
    elsewhere = partial(environment.problem, name)
    summary = f"{summary}, in an environment of its own"
    return _learning(name, summary, bridge.MAKERS[name], None, "parallel", problem_elsewhere=elsewhere)


ALGORITHMS: dict[str, Algorithm] = {
    found.name: found
    for found in (
        Algorithm(
            "grid",
            "every configuration, the first parameter varying slowest",
            systems.grid,
            can=frozenset({"mixed", "conditional", "parallel", "exhausts", "replays"}),
            refuses=systems.grid_refuses,
        ),
        Algorithm(
            "random",
            "configurations drawn at random, none twice",
            systems.random_search,
            can=frozenset({"mixed", "conditional", "parallel", "replays"}),
        ),
        Algorithm(
            "sobol",
            "quasi-random: configurations spread out evenly",
            systems.sobol,
            can=frozenset({"mixed", "parallel", "replays"}),
        ),
        Algorithm(
            "auto",
            "made for RAG: a Gaussian process over matching values that weighs improvement against new work",
            systems.auto,
            can=frozenset({"mixed", "conditional", "parallel", "exhausts", "replays"}),
            models=True,
        ),
        _learning(
            "optuna",
            "Bayesian: tree-structured Parzen estimator of Optuna; or its other samplers",
            systems.optuna,
            Library("optuna", "optuna", ">=4.5"),
            "conditional",
            "multi-objective",
            "parallel",
            libraries={
                ("sampler", "gp"): Library("torch", "torch", ">=2.6", "optuna-gp", 200),
                ("sampler", "cmaes"): Library("cmaes", "cmaes", ">=0.11", "cmaes", 1),
            },
            one_objective=frozenset({("sampler", "cmaes")}),
            unused={
                ("sampler", "nsga2"): frozenset({"n_startup_trials"}),
                ("sampler", "brute_force"): frozenset({"n_startup_trials"}),
            },
            refuses_with={("sampler", "brute_force"): systems.brute_force_refuses},
        ),
        _learning(
            "hyperopt",
            "Bayesian: tree-structured Parzen estimator of HyperOpt",
            systems.hyperopt,
            Library("hyperopt", "hyperopt", ">=0.3"),
            "conditional",
            "parallel",
            refuses=systems.hyperopt_refuses,
        ),
        _learning(
            "ax",
            "Bayesian: Gaussian process of Ax and BoTorch",
            systems.ax,
            Library("ax", "ax-platform", ">=1.3,<2", "ax", 270),
            "parallel",
        ),
        _learning(
            "bayesopt",
            "Bayesian: Gaussian process of bayesian-optimization",
            systems.bayesopt,
            Library("bayes_opt", "bayesian-optimization", ">=3.4,<4", "bayesopt", 10),
            "parallel",
        ),
        _learning(
            "bohb",
            "Bayesian: kernel density estimators of BOHB",
            systems.bohb,
            Library("hpbandster", "hpbandster", ">=0.7.4", "bohb", 14),
            "conditional",
        ),
        _learning(
            "flaml",
            "local search with random restarts of FLAML, mixed with Optuna's estimator; or by itself",
            systems.flaml,
            Library("flaml", "flaml", ">=2.7,<3", "flaml", 1),
        ),
        _learning(
            "smac",
            "Bayesian: random forest of SMAC3",
            systems.smac,
            Library("smac", "smac", ">=2.4,<3", "smac", 14),
            "conditional",
        ),
        _learning(
            "skopt",
            "Bayesian: Gaussian process of scikit-optimize; or its other models",
            systems.skopt,
            Library("skopt", "scikit-optimize", ">=0.10.2", "skopt", 10),
            "parallel",
        ),
        _elsewhere("nevergrad", "evolution strategies and others of nevergrad"),
        _elsewhere("hebo", "Bayesian: HEBO, several acquisitions at once"),
        _elsewhere("sigopt", "Bayesian: sigoptlite, SigOpt's engine for local use"),
        _elsewhere("dragonfly", "Bayesian: Dragonfly, several acquisitions in turn"),
    )
}


DEFAULT_TRIALS = 30
"""How many configurations an algorithm tries that has no end of its own."""


def default_trials(name: str) -> int | None:
    """How many configurations are tried if no number is given: the whole grid, else `DEFAULT_TRIALS`."""
    return None if name == "grid" else DEFAULT_TRIALS


@cache
def _others() -> dict[str, EntryPoint]:
    return {found.name: found for found in entry_points(group=GROUP) if found.name not in ALGORITHMS}


def names() -> list[str]:
    """The names of all algorithms, those of other packages last; none of these is imported."""
    return [*ALGORITHMS, *_others()]


def algorithm(name: str) -> Algorithm:
    """Look up an algorithm.

    Args:
        name: One of `names`. That of another package is imported.

    Returns:
        The algorithm.

    Raises:
        SearchError: With the nearest valid name; or another package's cannot be used.
    """
    if not isinstance(name, str):
        raise SearchError(f"search algorithm {quoted(name)} is no text; {nearest('', names())}")
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    if name not in _others():
        raise SearchError(f"unknown search algorithm {quoted(name)}; {nearest(name, names())}")
    entry = _others()[name]
    try:
        found = entry.load()
    except Exception as error:  # it is another package's code
        raise SearchError(f"search {name!r}: {entry.value} cannot be imported ({in_a_line(error)})") from None
    if not isinstance(found, Algorithm):
        raise SearchError(f"search {name!r}: {entry.value} is no raytuner.search.Algorithm; see docs/search.md")
    return found


def check_search(name: str | Algorithm, space: SearchSpace, options: dict[str, Any] | None = None) -> Algorithm:
    """Check that an algorithm can search a space with these options; imports no library.

    Args:
        name: One of `names`, or an algorithm.
        space: The search space.
        options: Options of the algorithm.

    Returns:
        The algorithm.

    Raises:
        SearchError: It or an option is unknown, or something is not installed.
        SpaceError: With the parameter that it cannot take, and the algorithms that can.
    """
    found = name if isinstance(name, Algorithm) else algorithm(name)
    found.check_options(options or {})
    refusal = found.refusal(space, options)
    if refusal is not None:
        parameter, reason = refusal
        able = [
            other.name for other in ALGORITHMS.values() if other.refuses(parameter, space.parameters[parameter]) is None
        ]
        raise SpaceError(f"{parameter}: {found.name} {reason}, or use --search {' or '.join(able)}")
    return found


def make_searcher(
    name: str | Algorithm,
    space: SearchSpace,
    metric: str,
    mode: str,
    seed: int = 0,
    *,
    trials: int | None = None,
    points: Sequence[Raw] = (),
    objectives: Sequence[Goal | Mapping[str, Any]] = (),
    work: Work | None = None,
    known: Sequence[Evaluated] = (),
    **options: Any,
) -> Searcher:
    """Make a searcher that keeps raytuner's contract; see `raytuner.search.guard.Guard`.

    Args:
        name: One of `names`, or an algorithm that need not be among them.
        space: The search space.
        metric: The value to optimise.
        mode: ``max`` or ``min``.
        seed: Fixes the sequence of configurations.
        trials: The most configurations to evaluate; None is no limit of its own.
        points: Raw samples to evaluate first.
        objectives: Several metrics to optimise, or limits to keep: ``{"metric", "mode", "limit"}`` each, or a `Goal`;
            `metric` and `mode` then have to be those of the first.
        work: What work a configuration needs; only ``auto`` asks for it. See `raytuner.work`.
        known: What earlier searches have found, with values of all that is optimised. It is told to an algorithm that
            learns from points which it has not suggested; they are no trials, and may be suggested again.
        **options: Options of the algorithm; see `Algorithm.options`.

    Returns:
        The searcher, to be given to ``ray.tune.TuneConfig(search_alg=...)`` with ``num_samples=-1``.

    Raises:
        SearchError: An unknown algorithm or option, a wrong mode, or something that is not installed.
        SpaceError: The algorithm cannot express the space.
    """
    from raytuner.search.guard import MAX_REJECTED, Guard

    if mode not in ("max", "min"):
        raise SearchError(f"mode is {quoted(mode)}; it must be max or min")
    if trials is not None:
        _check_whole("trials", trials, 1)
    _check_whole("seed", seed, 0, MAX_SEED)
    found = check_search(name, space, options)
    if space.size() == 0:
        space.default()  # says which rule no configuration keeps
    goals = _goals(objectives, metric, mode)
    task = Task(space, metric, mode, seed, points, trials, () if are_plain(goals) else goals, work)
    with quiet():
        # There is nothing to model in a single point.
        inner = systems.grid(task) if space.size() == 1 else _made(found, task, options)
        with contextlib.suppress(NotImplementedError):  # by those that do not learn, or only from their own points
            for raw, values in known:
                own = [values[goal.metric] for goal in goals]
                inner.add_evaluated_point(raw, own if len(own) > 1 else own[0])
    patience = 2 if found.models else MAX_REJECTED
    others = [goal.metric for goal in goals[1:]]
    return Guard(
        space, inner, metric, mode, trials=trials, seed=seed, patience=patience, name=found.name, others=others
    )


def _check_whole(name: str, value: Any, low: int, high: int | None = None) -> None:
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not is_whole or int(value) < low or (high is not None and int(value) > high):
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        raise SearchError(f"{name} is {quoted(value)}; it must be a whole number, {bounds}")


def _goals(objectives: Sequence[Goal | Mapping[str, Any]], metric: str, mode: str) -> tuple[Goal, ...]:
    """What is optimised.

    Raises:
        SearchError: One is no objective, or the metric or mode is not that of the first one.
    """
    given = [_goal(objective) for objective in objectives or [{"metric": metric, "mode": mode}]]
    goals = with_modes(given, {})
    if (goals[0].metric, goals[0].mode) != (metric, mode):
        raise SearchError(f"metric is {metric!r}, {mode}; give that of the first objective: {goals[0]}")
    return goals


def _goal(given: Goal | Mapping[str, Any]) -> Goal:
    try:
        return Goal.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SearchError(
            f"objective {quoted(given)}: {f'{where}: ' if where else ''}{first['msg']}; "
            "give e.g. {metric: span_recall, mode: max}"
        ) from None


def _made(found: Algorithm, task: Task, options: dict[str, Any]) -> Searcher:
    """An algorithm, or what its library says to the task in one line.

    Raises:
        SearchError: The library cannot take it.
    """
    try:
        return _make(found, task, options)
    except RaytunerError:
        raise
    except Exception as error:  # it is another library's code
        raise SearchError(
            f"search {found.name!r} cannot search this space with these options ({in_a_line(error)}); "
            "use another search"
        ) from error


def _make(found: Algorithm, task: Task, options: dict[str, Any]) -> Searcher:
    """An algorithm, told of several objectives as it can be."""
    if not task.goals or found.models_objectives(options):
        return found.make(task, **options)
    from raytuner.search.scalarise import LOSS, ScalarisedSearcher

    one = replace(task, metric=LOSS, mode="min", goals=())
    return ScalarisedSearcher(found.make(one, **options), task.goals)
