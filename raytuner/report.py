"""Results as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from raytuner import cost, failed_questions, held_out, html
from raytuner.goals import described, shown
from raytuner.results import RunResult, StoppedTrial, TunedResult
from raytuner.run_folder import jsonable

SHOWN = 10
"""So many of the best configurations are shown."""

SHOWN_OF_FRONT = 20
"""So many of a Pareto front are shown, spread over it, and the knee."""

SHOWN_BEYOND = 3
"""So many of those beyond a limit are named."""


def as_json(result: TunedResult) -> dict[str, Any]:
    """The object that ``--json`` prints.

    Args:
        result: The result of a search.

    Returns:
        ``{"best": {"trial", "params", "score", "metrics"}, "default": {...}, "trials", "failed", "stopped", "run",
        "seconds"}``, and with held-out questions ``{"winner": {...}, "ties": [{...}], "versus_default", "held_out"}``,
        where ``winner`` has the best score in the search and ``best`` is the one to take;
        for several objectives also ``{"pareto": [{...}], "knee": {...}}``, and with limits
        ``{"beyond_limit": [{...}]}``, where ``beyond`` says what is.
    """
    failed = result.failed_questions
    several = {"pareto": list(map(_configuration, result.pareto)), "knee": _configuration(result.knee)}
    beyond = [{**_configuration(found), "beyond": result.breaches(found)} for found in result.beyond_limit]
    found: dict[str, Any] = jsonable(
        {
            "best": _configuration(result.best),
            "default": _configuration(result.default) if result.default else None,
            **({"robustness": robust.model_dump()} if (robust := result.robustness) else {}),
            **(_confirmed(result) if result.confirmation else {}),
            "trials": result.trials,
            "failed": len(result.failed),
            **({"failed_questions": {name: row._asdict() for name, row in failed.items()}} if failed else {}),
            "stopped": len(result.stopped),
            **({"stopped_trials": list(map(_stopped, result.stopped))} if result.stopped else {}),
            **({"cost": _cost(result.cost)} if result.cost else {}),
            "run": result.run,
            "seconds": round(result.seconds or 0.0, 2),
            **(several if _has_front(result) else {}),
            **({"beyond_limit": beyond} if any(goal.limit is not None for goal in result.objectives) else {}),
        }
    )
    return found


def _cost(found: cost.Cost) -> dict[str, Any]:
    return {**found.total.model_dump(exclude={"model", "stage"}), "parts": [part.model_dump() for part in found.parts]}


def _configuration(result: RunResult) -> dict[str, Any]:
    latency = {"latency": result.latency} if result.latency else {}
    return {
        "trial": result.trial,
        "params": result.shown,
        "score": result.score,
        "metrics": result.metrics,
        **latency,
    }


def _confirmed(result: TunedResult) -> dict[str, Any]:
    return {
        "winner": _configuration(result.best_run_result),
        "ties": list(map(_configuration, result.ties)),
        "versus_default": None if (versus := result.versus_default) is None else versus.model_dump(),
        "held_out": held_out.as_json(result),
    }


def _stopped(result: StoppedTrial) -> dict[str, Any]:
    return {**_configuration(result), "reason": result.reason, "questions": len(result.questions)}


def _has_front(result: TunedResult) -> bool:
    return len(result.objectives) > 1


def as_text(result: TunedResult, metric: str, mode: str) -> str:
    """The result for a person: the best configurations, or the Pareto front, and how they compare with the default.

    Args:
        result: The result of a search.
        metric: The metric that was optimised, of several the first.
        mode: ``max`` or ``min``.
    """
    lines = [_table(result, metric), "", *verdict(result, metric, mode)]
    lines += [f"  {name}: {value}" for name, value in result.best.shown.items()]
    lines += ["", *_beyond(result), *_remarks(result)]
    return "\n".join(lines)


def verdict(result: TunedResult, metric: str, mode: str) -> list[str]:
    """What came out, in lines: the best or the front, and what the held-out questions say of it; see `as_text`."""
    found = _verdict_of_front(result) if _has_front(result) else [_verdict(result, metric, mode)]
    return [*found, *held_out.lines(result, metric)]


def _verdict(result: TunedResult, metric: str, mode: str) -> str:
    best, default = result.best_run_result, result.default
    head = f"Best: {metric} {best.score:.4f}"
    if default is None:
        return f"{head} (trial {best.trial})"
    if default.trial == best.trial:
        return f"{head}, by the default configuration itself"
    difference = best.score - default.score
    better = "more" if difference > 0 else "less"
    relative = f", {abs(difference) / abs(default.score):.0%}" if default.score else ""
    return (
        f"{head}, {abs(difference):.4f} {better} than the default's {default.score:.4f}{relative} "
        f"({'higher' if mode == 'max' else 'lower'} is better)"
    )


def _verdict_of_front(result: TunedResult) -> list[str]:
    count, front = len(result.run_results), result.pareto
    hidden = len(front) - len(_spread(result))
    more = f", {hidden} of which are shown by --json alone" if hidden else ""
    default = "" if result.default is None else f"; the default has {_values(result, result.default)}"
    if result.default is not None and result.default.trial == result.knee.trial:
        default = ", the default configuration itself"
    return [
        f"Objectives: {described(result.objectives)}",
        f"Pareto front: {len(front)} of {count} configurations{more}, dominated by none",
        f"Knee: trial {result.knee.trial} has {_values(result, result.knee)}{default}",
    ]


def _values(result: TunedResult, row: RunResult) -> str:
    return ", ".join(f"{goal.metric} {shown(row.metrics[goal.metric])}" for goal in result.objectives)


def _beyond(result: TunedResult) -> list[str]:
    """What was beyond a limit."""
    found = result.beyond_limit
    if not found:
        return []
    lines = [f"beyond a limit: {len(found)} of {len(result.run_results)} configurations"]
    lines += [f"  trial {row.trial}: {', '.join(result.breaches(row))}" for row in found[:SHOWN_BEYOND]]
    return [*lines, f"  and {len(found) - SHOWN_BEYOND} more"] if len(found) > SHOWN_BEYOND else lines


def _remarks(result: TunedResult) -> list[str]:
    """What else a reader has to know."""
    lines = []
    time = "time unknown" if result.seconds is None else f"{result.seconds:.1f} s"
    lines.append(f"{_counts(result)}, {time}")
    if result.ended and not result.interrupted:
        lines.append(result.ended)
    if result.interrupted:
        lines.append("interrupted: this is what was finished")
    default = result.default_failed
    if default is not None:
        lines.append(f"the default configuration failed: {default.summary}")
    others = [failed for failed in result.failed if default is None or failed.trial != default.trial]
    lines += [f"trial {failed.trial} failed: {failed.summary}" for failed in others[:3]]
    scores = {tuple(found.metrics.get(goal.metric) for goal in result.objectives) for found in result.run_results}
    if len(result.run_results) > 1 and len(scores) == 1:
        lines.append("all scored the same: the metric does not tell these configurations apart")
    if latency := result.best.latency:
        lines.append(
            f"an answer of trial {result.best.trial} takes {latency['p50']:.2f} s (p95 {latency['p95']:.2f} s)"
        )
    lines += cost.said(result.cost) if result.cost else []
    lines += [failed_questions.said(result.failed_questions)] if result.failed_questions else []
    lines += [f"note: {note}" for note in result.notes]
    if result.run:
        lines.append(f"run folder: {result.run}")
    return lines


def _counts(result: TunedResult) -> str:
    stopped = f", stopped early: {len(result.stopped)}" if result.stopped else ""
    return f"trials: {result.trials}{stopped}, failed: {len(result.failed)}"


def as_html(result: TunedResult) -> str:
    """The best configurations and the default, for a notebook; all texts escaped."""
    head, *rows = _cells(result, "score")
    interrupted = ", interrupted: this is what was finished" if result.interrupted else ""
    return html.table(head, rows, below=f"{_counts(result)}{interrupted}")


def _table(result: TunedResult, metric: str) -> str:
    """The best configurations, or the Pareto front, and the default, as aligned columns."""
    rows = _cells(result, metric)
    widths = [max(len(line[column]) for line in rows) for column in range(len(rows[0]))]
    return "\n".join(_aligned(line, widths) for line in rows)


def _cells(result: TunedResult, metric: str) -> list[list[str]]:
    """The head, and a row for each configuration that is shown."""
    found = _spread(result) if _has_front(result) else result.run_results[:SHOWN]
    if result.default is not None and all(row.trial != result.default.trial for row in found):
        found = [*found, result.default]
    names = sorted({name for row in found for name in row.shown})
    metrics = [goal.metric for goal in result.objectives] if _has_front(result) else [metric]
    rows = [
        [
            str(row.trial),
            *(_short(row.shown.get(name, "")) for name in names),
            *([shown(row.metrics[name]) for name in metrics] if _has_front(result) else [f"{row.score:.4f}"]),
            _mark(result, row),
        ]
        for row in found
    ]
    return [["trial", *names, *metrics, ""], *rows]


def _spread(result: TunedResult) -> list[RunResult]:
    """The Pareto front; of a long one some, from end to end, and the knee."""
    front = result.pareto
    if len(front) <= SHOWN_OF_FRONT:
        return front
    places = {round(step * (len(front) - 1) / (SHOWN_OF_FRONT - 1)) for step in range(SHOWN_OF_FRONT)}
    return [row for place, row in enumerate(front) if place in places or row.trial == result.knee.trial]


def _mark(result: TunedResult, row: RunResult) -> str:
    marks = []
    if row.trial == result.best_run_result.trial:
        marks.append("knee" if _has_front(result) else "best")
    if result.confirmation is not None and row.trial == result.best.trial:
        marks.append("to take")
    if result.default is not None and row.trial == result.default.trial:
        marks.append("default")
    if result.breaches(row):
        marks.append("beyond a limit")
    return ", ".join(marks)


def _aligned(line: Iterable[str], widths: Iterable[int]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text[:23]}…"
