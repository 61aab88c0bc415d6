"""How much each parameter matters, and which of its values do well."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from raytuner.goals import Goal
from raytuner.run_folder import jsonable
from raytuner.stats import mean_interval

FEWEST = 20
"""With fewer trials that were scored nothing is said of importance: the best tenth would be one trial."""
MOST_VALUES = 8
"""A parameter with more numbers than this is shown in as many ranges of about equally many trials."""
PAIRS = 3
"""So many pairs of parameters are shown."""
FEWEST_FOR_INTERVAL = 10
"""With fewer trials a value has no interval: it would be many times as wide as the scores differ."""

NO_SAMPLE = (
    "A search chooses its trials, so they are no random sample: good regions are tried more often, and nothing else is "
    "held fixed. An interval (95%) says how much the trials of a value differ, not what the value does by itself."
)


def how(trials: int) -> str:
    """How importance is found, of so many trials."""
    best = max(2, math.ceil(trials / 10))
    return (
        f"PED-ANOVA (Watanabe et al. 2023) by Optuna: how far the best tenth of the trials ({best} of {trials} that "
        "were scored), in one parameter, is from all of them. The shares of an objective add up to 1."
    )


class Tried(NamedTuple):
    """A trial that was scored.

    Attributes:
        params: The tuned parameters.
        metrics: Its means.
    """

    params: Mapping[str, Any]
    metrics: Mapping[str, float]


def plain(value: Any) -> Any:
    """A value of a parameter as a chart shows it: a number, a truth value or a text."""
    found = jsonable(value)
    return found if isinstance(found, (str, int, float, bool)) else json.dumps(found)


def varied(trials: Sequence[Tried]) -> list[str]:
    """The parameters that have two values or more, in the order of their first use."""
    seen: dict[str, set[Any]] = {}
    for trial in trials:
        for name, value in trial.params.items():
            seen.setdefault(name, set()).add(plain(value))
    return [name for name, values in seen.items() if len(values) > 1]


def importances(trials: Sequence[Tried], goals: Sequence[Goal]) -> dict[str, Any]:
    """The importance of each parameter for each objective.

    Args:
        trials: Those that were scored.
        goals: The objectives.

    Returns:
        ``{"shares": [{"parameter", "objective", "share"}], "left_out": [{"parameter", "why"}], "how", "why_none"}``,
        the largest share of the first objective first.
    """
    names = varied(trials)
    left_out = [
        {"parameter": name, "why": f"only {count} of {len(trials)} trials have it (it depends on another parameter)"}
        for name in names
        if (count := sum(name in trial.params for trial in trials)) < len(trials)
    ]
    shown = [name for name in names if all(name != row["parameter"] for row in left_out)]
    found: dict[str, Any] = {"shares": [], "left_out": left_out, "how": how(len(trials)), "why_none": None}
    if len(trials) < FEWEST:
        return {
            **found,
            "why_none": f"it takes {FEWEST} trials that were scored (not stopped), there are {len(trials)}",
        }
    if not shown:
        return {**found, "why_none": "no parameter varies over all trials"}
    for goal in goals:
        scored = [trial for trial in trials if math.isfinite(trial.metrics.get(goal.metric, math.nan))]
        if len({trial.metrics[goal.metric] for trial in scored}) > 1 and len(scored) >= FEWEST:
            shares = _ped_anova(scored, shown, goal)
            found["shares"] += [
                {"parameter": name, "objective": goal.metric, "share": round(share, 4)}
                for name, share in sorted(shares.items(), key=lambda pair: -pair[1])
            ]
    if not found["shares"]:
        found["why_none"] = "all trials scored the same"
    return found


def _ped_anova(trials: Sequence[Tried], names: Sequence[str], goal: Goal) -> dict[str, float]:
    import optuna
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {name: _distribution([plain(trial.params[name]) for trial in trials]) for name in names}
    study = optuna.create_study(direction="minimize" if goal.mode == "min" else "maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(
                params={name: plain(trial.params[name]) for name in names},
                distributions=distributions,
                value=trial.metrics[goal.metric],
            )
            for trial in trials
        ]
    )
    with warnings.catch_warnings():  # older versions call it experimental
        warnings.simplefilter("ignore")
        found: dict[str, float] = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    return found


def _distribution(values: Sequence[Any]) -> Any:
    from optuna import distributions

    distinct = sorted(set(values), key=lambda value: (str(type(value)), value))
    if not _are_many_numbers(distinct):
        return distributions.CategoricalDistribution(distinct)
    low, high = distinct[0], distinct[-1]
    log = low > 0 and high / low >= 100
    if all(isinstance(value, int) for value in distinct):
        return distributions.IntDistribution(low, high, log=log)
    return distributions.FloatDistribution(float(min(values)), float(max(values)), log=log)


def _are_many_numbers(distinct: Sequence[Any]) -> bool:
    are_numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in distinct)
    return are_numbers and len(distinct) > MOST_VALUES


class Level(NamedTuple):
    """A value of a parameter, or a range of values.

    Attributes:
        label: How it is shown.
        at: The positions of the trials that have it.
    """

    label: str
    at: list[int]


def levels(trials: Sequence[Tried], name: str) -> list[Level]:
    """The values of a parameter in their order; many numbers as ranges of about equally many trials.

    Args:
        trials: The trials.
        name: The parameter; trials without it are left out.
    """
    values = {at: plain(trial.params[name]) for at, trial in enumerate(trials) if name in trial.params}
    distinct = sorted(set(values.values()), key=lambda value: (isinstance(value, str), value))
    if not _are_many_numbers(distinct):
        return [Level(_label(value), [at for at, own in values.items() if own == value]) for value in distinct]
    edges = np.unique(np.quantile(list(values.values()), np.linspace(0, 1, MOST_VALUES + 1)[1:-1], method="nearest"))
    parts: dict[int, list[int]] = {}
    for at, value in values.items():
        parts.setdefault(int(np.searchsorted(edges, value)), []).append(at)
    return [Level(_range([values[at] for at in parts[part]]), parts[part]) for part in sorted(parts)]


def _label(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _range(values: Sequence[float]) -> str:
    low, high = _label(min(values)), _label(max(values))
    return low if low == high else f"{low} to {high}"


def effects(trials: Sequence[Tried], metric: str) -> list[dict[str, Any]]:
    """For each parameter the mean of a metric by value.

    Returns:
        ``[{"parameter", "levels": [{"value", "trials", "mean", "low", "high"}]}]``; the ends of the interval (see
        `raytuner.stats.mean_interval`) are None for fewer than `FEWEST_FOR_INTERVAL` trials.
    """
    scored = [trial for trial in trials if math.isfinite(trial.metrics.get(metric, math.nan))]
    return [
        {"parameter": name, "levels": [_effect(level, scored, metric) for level in levels(scored, name)]}
        for name in varied(scored)
    ]


def _effect(level: Level, trials: Sequence[Tried], metric: str) -> dict[str, Any]:
    values = [trials[at].metrics[metric] for at in level.at]
    low, high = mean_interval(values, resamples=499) if len(values) >= FEWEST_FOR_INTERVAL else (None, None)
    return {
        "value": level.label,
        "trials": len(values),
        "mean": math.fsum(values) / len(values),
        "low": low,
        "high": high,
    }


def interactions(trials: Sequence[Tried], metric: str, names: Sequence[str]) -> list[dict[str, Any]]:
    """The means of a metric by the values of two parameters, for the pairs of the most important ones.

    Args:
        trials: Those that were scored.
        metric: The metric.
        names: The parameters, the most important first.

    Returns:
        ``[{"a", "b", "cells": [{"a", "b", "trials", "mean"}]}]``, with cells for what was tried.
    """
    scored = [trial for trial in trials if math.isfinite(trial.metrics.get(metric, math.nan))]
    pairs = sorted(combinations(range(len(names)), 2), key=sum)[:PAIRS]
    return [{"a": names[a], "b": names[b], "cells": _cells(scored, metric, names[a], names[b])} for a, b in pairs]


def _cells(trials: Sequence[Tried], metric: str, a: str, b: str) -> list[dict[str, Any]]:
    cells = []
    for one in levels(trials, a):
        for other in levels(trials, b):
            values = [trials[at].metrics[metric] for at in sorted({*one.at} & {*other.at})]
            if values:
                mean = math.fsum(values) / len(values)
                cells.append({"a": one.label, "b": other.label, "trials": len(values), "mean": mean})
    return cells
