"""Results as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from raytuner import html
from raytuner.results import RunResult, TunedResult
from raytuner.run_folder import jsonable
from raytuner.study import Study

SHOWN = 10


def as_json(result: TunedResult) -> dict[str, Any]:
    """The object that ``--json`` prints.

    Args:
        result: The result of a search.

    Returns:
        ``{"best": {"params", "score", "metrics"}, "default": {...}, "trials", "failed", "run", "seconds"}``.
    """
    found: dict[str, Any] = jsonable(
        {
            "best": _configuration(result.best_run_result),
            "default": _configuration(result.default) if result.default else None,
            "trials": len(result.run_results) + len(result.failed),
            "failed": len(result.failed),
            "run": result.run,
            "seconds": round(result.seconds or 0.0, 2),
        }
    )
    return found


def _configuration(result: RunResult) -> dict[str, Any]:
    return {"params": result.shown, "score": result.score, "metrics": result.metrics}


def as_text(result: TunedResult, metric: str, mode: str) -> str:
    """The result for a person: the best configurations, and how much better than the default the best is.

    Args:
        result: The result of a search.
        metric: The metric that was optimised.
        mode: ``max`` or ``min``.
    """
    lines = [_table(result, metric), "", _verdict(result, metric, mode)]
    lines += [f"  {name}: {value}" for name, value in result.best_run_result.shown.items()]
    lines += _remarks(result)
    return "\n".join(lines)


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


def _remarks(result: TunedResult) -> list[str]:
    """What else a reader has to know."""
    lines = [""]
    count = len(result.run_results) + len(result.failed)
    time = "time unknown" if result.seconds is None else f"{result.seconds:.1f} s"
    lines.append(f"trials: {count}, failed: {len(result.failed)}, {time}")
    if result.stopped and not result.interrupted:
        lines.append(result.stopped)
    if result.interrupted:
        lines.append("interrupted: this is what was finished")
    default = result.default_failed
    if default is not None:
        lines.append(f"the default configuration failed: {default.summary}")
    others = [failed for failed in result.failed if default is None or failed.trial != default.trial]
    lines += [f"trial {failed.trial} failed: {failed.summary}" for failed in others[:3]]
    lines += [f"note: {note}" for note in result.notes]
    if result.run:
        lines.append(f"run folder: {result.run}")
    return lines


def as_html(result: TunedResult) -> str:
    """The best configurations and the default, for a notebook; all texts escaped."""
    head, *rows = _cells(result, "score")
    count = len(result.run_results) + len(result.failed)
    interrupted = ", interrupted: this is what was finished" if result.interrupted else ""
    return html.table(head, rows, below=f"trials: {count}, failed: {len(result.failed)}{interrupted}")


def _table(result: TunedResult, metric: str) -> str:
    """The best configurations and the default, as aligned columns."""
    rows = _cells(result, metric)
    widths = [max(len(line[column]) for line in rows) for column in range(len(rows[0]))]
    return "\n".join(_aligned(line, widths) for line in rows)


def _cells(result: TunedResult, metric: str) -> list[list[str]]:
    """The head, and a row for each of the best configurations and the default."""
    shown = result.run_results[:SHOWN]
    if result.default is not None and all(row.trial != result.default.trial for row in shown):
        shown = [*shown, result.default]
    names = sorted({name for row in shown for name in row.shown})
    head = ["trial", *names, metric, ""]
    rows = [
        [str(row.trial), *(_short(row.shown.get(name, "")) for name in names), f"{row.score:.4f}", _mark(result, row)]
        for row in shown
    ]
    return [head, *rows]


def _mark(result: TunedResult, row: RunResult) -> str:
    marks = ["best"] if row.trial == result.best_run_result.trial else []
    if result.default is not None and row.trial == result.default.trial:
        marks.append("default")
    return ", ".join(marks)


def _aligned(line: Iterable[str], widths: Iterable[int]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 24 else f"{text[:23]}…"


def result_of(study: Study, run: dict[str, Any]) -> TunedResult:
    """The result of a study that was read back.

    Args:
        study: From `load_study`.
        run: What the run folder's ``run.json`` holds.

    Raises:
        AllTrialsFailedError: No trial succeeded.
    """
    result = study.result(default=run.get("default_trial"), stopped=run.get("stopped"))
    result.seconds = run.get("seconds")
    result.interrupted = bool(run.get("interrupted"))
    result.notes = list(run.get("notes", ()))
    return result
