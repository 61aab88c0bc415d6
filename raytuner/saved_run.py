"""A run folder read back."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raytuner.confirm import Confirmation
from raytuner.cost import cost_of, read_calls
from raytuner.errors import DataError
from raytuner.results import TunedResult
from raytuner.run_folder import HELD_OUT, QUESTIONS, goals_of, read_run
from raytuner.study import Study, Trial
from raytuner.trial_log import read_log, values_of


def load_study(folder: Path) -> Study:
    """Read a run folder back; nothing in it is imported or run.

    Args:
        folder: The run folder.

    Returns:
        The study as it was logged; it writes nothing more.

    Raises:
        DataError: It is no run folder, or it is damaged.
    """
    run = read_run(folder)
    study = Study(run["metric"], run["mode"], goals=goals_of(run, folder))
    study.folder = folder
    read = read_log(folder)
    rows = read.rows
    study.notes += read.notes
    for row in rows:
        if row["kind"] == "start":
            study.trials.setdefault(row["trial"], Trial(row["trial"], row["params"]))
        if row["kind"] == "trial":
            metrics = {name: math.nan if value is None else value for name, value in row["metrics"].items()}
            study.trials[row["trial"]] = Trial(
                row["trial"],
                row["params"],
                metrics,
                seconds=row["seconds"],
                error=row["error"],
                finished=True,
                stopped=row.get("stopped"),
                told=row.get("told") or {},
            )
    for row in rows:
        if row["kind"] in ("block", "held_out") and row["trial"] in study.trials:
            trial = study.trials[row["trial"]]
            (trial.questions if row["kind"] == "block" else trial.held_out).update(values_of(row))
    return study


def result_of(study: Study, run: dict[str, Any]) -> TunedResult:
    """The result of a study that was read back.

    Args:
        study: From `load_study`.
        run: What the run folder's ``run.json`` holds.

    Raises:
        AllTrialsFailedError: No trial succeeded.
    """
    result = study.result(default=run.get("default_trial"), ended=run.get("ended") or run.get("stopped"))
    result.seconds = run["seconds"] + run.get("seconds_before", 0.0) if run.get("seconds") is not None else None
    result.interrupted = bool(run.get("interrupted"))
    result.notes = [*run.get("notes", ()), *study.notes]
    result.confirmation = _confirmation(study.folder)
    result.documents = documents_of(study.folder)
    result.cost = cost_of(read_calls(study.folder)) if study.folder else None
    return result


def documents_of(folder: Path | None) -> dict[str, str]:
    """The documents of the questions; none of runs of before.

    Raises:
        DataError: What was written is damaged.
    """
    if folder is None or not (folder / QUESTIONS).is_file():
        return {}
    try:
        found = json.loads((folder / QUESTIONS).read_text(encoding="utf-8"))["documents"]
        return {str(name): str(document) for name, document in found.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{folder / QUESTIONS} is damaged; restore the file or remove it") from None


def _confirmation(folder: Path | None) -> Confirmation | None:
    """What was written of the held-out questions.

    Raises:
        DataError: It is damaged.
    """
    if folder is None or not (folder / HELD_OUT).is_file():
        return None
    try:
        return Confirmation.model_validate_json((folder / HELD_OUT).read_bytes())
    except ValidationError:
        raise DataError(f"{folder / HELD_OUT} is damaged; restore the file or remove it") from None
