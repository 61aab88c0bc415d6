"""The runs in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raytuner.errors import DataError, in_a_line
from raytuner.goals import shown
from raytuner.page.state import DAMAGE, state_of
from raytuner.run_folder import RUN, jsonable, read_run
from raytuner.saved_run import load_study

COLUMNS = ("run", "begun", "state", "trials", "metric", "best", "configuration")


def listed(parent: Path) -> list[dict[str, Any]]:
    """What is known of each run in a folder, the newest first; one that cannot be read is there with the reason.

    Returns:
        ``[{"run", "begun", "state", "trials", "metric", "best", "configuration"}]``.
    """
    folders = [path for path in parent.iterdir() if (path / RUN).is_file()]
    found = [jsonable(_run(path)) for path in folders]
    return sorted(found, key=lambda row: (row["begun"] or "", row["run"]), reverse=True)


def _run(folder: Path) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row["run"] = folder.name
    try:
        return {**row, **_known(folder)}
    except DataError as error:
        return {**row, "state": "damaged", "error": str(error)}
    except DAMAGE as error:  # of what it says of itself
        return {**row, "state": "damaged", "error": f"{folder}: damaged ({in_a_line(error)}); restore the folder"}


def _known(folder: Path) -> dict[str, Any]:
    run = read_run(folder)
    study = load_study(folder)
    known = {"begun": run.get("created"), "state": state_of(folder, run), "metric": run["metric"]}
    best = study.best
    own = {} if best is None else {"best": best.metrics.get(study.metric), "configuration": best.shown}
    return {**known, "trials": len(study.trials), **own}


def table(found: Sequence[dict[str, Any]]) -> str:
    """The runs as aligned columns; of one that is damaged the last says why."""
    rows = [{**row, "configuration": row.get("error", row["configuration"])} for row in found]
    lines = [COLUMNS, *(tuple(map(_cell, (row[name] for name in COLUMNS))) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return shown(value)
    if isinstance(value, dict):
        value = ", ".join(f"{name}={own}" for name, own in value.items())
    return " ".join(str(value).removesuffix("+00:00").split())
