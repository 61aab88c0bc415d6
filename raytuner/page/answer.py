"""The answer of a search: what to take, how much better it is than the default, and what does as well."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from raytuner import report
from raytuner.confirm import COSTS, Difference
from raytuner.goals import shown
from raytuner.results import RunResult, TunedResult
from raytuner.stats import mean_interval

MOST_LEADERS = 5
"""So many configurations are shown side by side, beside the default."""


def answer_of(result: TunedResult) -> dict[str, Any]:
    """What came out of a search.

    Args:
        result: Of a run, finished or not.

    Returns:
        ``{"headline", "held_out_questions", "verdict": [line], "best", "default", "versus_default", "leaders":
        [difference], "knee", "ties": [...], "cheapest_by", "win_share"}``; a configuration is ``{"trial", "params",
        "metrics", "held_out", "latency", "marks"}``, and a difference ``{"mean", "low", "high", "questions",
        "held_out", "is_sure"}``, above 0 if the best is better.
    """
    goal = result.objectives[0]
    robust = result.robustness
    return {
        "headline": _headline(result),
        "held_out_questions": None if result.confirmation is None else result.confirmation.questions,
        "verdict": report.verdict(result, goal.metric, goal.mode or "max"),
        "best": configuration(result, result.best),
        "default": None if result.default is None else configuration(result, result.default),
        "versus_default": _versus(result),
        "leaders": _leaders(result),
        "knee": result.knee.trial,
        "ties": [configuration(result, tied) for tied in result.ties] if result.confirmation else [],
        "cheapest_by": _cheapest_by(result),
        "win_share": None if robust is None else robust.win_share,
    }


def configuration(result: TunedResult, found: RunResult) -> dict[str, Any]:
    """A configuration with what is known of it."""
    held_out = None if result.confirmation is None or found.trial is None else result.confirmation.of(found.trial)
    return {
        "trial": found.trial,
        "params": found.shown,
        "metrics": found.metrics,
        "held_out": None if held_out is None else held_out.metrics,
        "latency": found.latency,
        "marks": marks(result, found),
    }


def marks(result: TunedResult, found: RunResult) -> list[str]:
    """What a configuration is: the one to take, the best of the search, the default, a tie."""
    said = {
        "take": result.best.trial,
        "knee" if len(result.objectives) > 1 else "best of the search": result.best_run_result.trial,
        "default": None if result.default is None else result.default.trial,
    }
    marked = [name for name, number in said.items() if number == found.trial]
    tied = result.confirmation is not None and found.trial in result.confirmation.ties
    return [*marked, *(["tied"] if tied and "take" not in marked else [])]


def leaders(result: TunedResult) -> list[RunResult]:
    """The configurations to look at side by side: the best, those that are as good, the next of them; the default."""
    chosen = _distinct([result.best, result.best_run_result, *result.ties, *result.run_results])[:MOST_LEADERS]
    return _distinct([*chosen, *([] if result.default is None else [result.default])])


def _headline(result: TunedResult) -> str:
    """The answer in a sentence."""
    best, default, goal = result.best, result.default, result.objectives[0]
    held_out, versus = result.held_out, _versus(result)
    score = best.score if held_out is None else held_out.score
    where = "" if result.confirmation is None else f" on {result.confirmation.questions} held-out questions"
    said = f"Take trial {best.trial}: {goal.metric} {shown(score)}{where}"
    if default is not None and default.trial == best.trial:
        return f"{said}; it is the default configuration itself."
    if versus is None:
        return f"{said}."
    interval = f"{abs(versus['mean']):.4f} {'better' if versus['mean'] >= 0 else 'worse'} than the default"
    interval += f" (95% interval {versus['low']:+.4f} to {versus['high']:+.4f})"
    if not versus["held_out"]:
        return f"{said}, {interval}; it was chosen by these questions, so that is optimistic."
    return f"{said}, {interval}: {'surely' if versus['is_sure'] else 'not surely'} better."


def _distinct(results: Iterable[RunResult]) -> list[RunResult]:
    return list({found.trial: found for found in results}.values())


def _versus(result: TunedResult) -> dict[str, Any] | None:
    """By how much the best is better than the default: on held-out questions, else on those of the search."""
    best, default = result.best, result.default
    if default is None or default.trial == best.trial:
        return None
    if result.versus_default is not None and result.confirmation is not None:
        return _difference(result.versus_default, result.confirmation.questions)
    goal = result.objectives[0]
    both = [
        name
        for name, row in best.questions.items()
        if goal.metric in row and goal.metric in default.questions.get(name, {})
    ]
    if len(both) < 2:
        return None
    better = [
        goal.loss(default.questions[name][goal.metric]) - goal.loss(best.questions[name][goal.metric]) for name in both
    ]
    low, high = mean_interval(better, [result.documents.get(name, name) for name in both] if result.documents else ())
    mean = sum(better) / len(better)
    return {"mean": mean, "low": low, "high": high, "questions": len(both), "held_out": False, "is_sure": None}


def _leaders(result: TunedResult) -> list[dict[str, Any]]:
    """By how much each leader is better than the default on the held-out questions."""
    found = result.confirmation
    if found is None:
        return []
    compared = [(one.trial, one.versus_default) for one in found.results]
    return [
        {"trial": trial, **_difference(versus, found.questions)} for trial, versus in compared if versus is not None
    ]


def _difference(found: Difference, questions: int) -> dict[str, Any]:
    own = {"mean": found.mean, "low": found.low, "high": found.high, "is_sure": found.is_sure}
    return {**own, "questions": questions, "held_out": True}


def _cheapest_by(result: TunedResult) -> str | None:
    """The cost by which the cheapest of those that cannot be told apart was chosen."""
    tied = [found.metrics for found in result.ties]
    return next((name for name in COSTS if len({round(row.get(name, 0.0), 6) for row in tied}) > 1), None)
