"""What the report says of a run, as JSON can hold it; page, Markdown and table are views of it."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raytuner import __version__
from raytuner.cost import Cost
from raytuner.errors import AllTrialsFailedError, DataError, InfeasibleError, in_a_line
from raytuner.page.answer import answer_of, leaders
from raytuner.page.importance import Tried, effects, importances, interactions, plain
from raytuner.page.named import dotted_paths
from raytuner.page.questions import questions_of
from raytuner.page.retrieved_anew import Room
from raytuner.page.spent import spent
from raytuner.page.state import DAMAGE, state_of
from raytuner.results import TunedResult, summary_of
from raytuner.run_folder import jsonable, read_run, utc_now
from raytuner.saved_run import load_study, result_of
from raytuner.so_far import so_far
from raytuner.study import Study, Trial
from raytuner.trial_log import read_log

logger = logging.getLogger("raytuner")

FORMAT = 1
"""Raised when what ``--format json`` prints changes so that readers would misread it."""


def report_of(folders: Sequence[Path], *, texts: bool = True, trust: bool = False) -> dict[str, Any]:
    """What there is to say of some runs.

    Args:
        folders: Their folders.
        texts: Whether texts of questions and documents are shown, which are read anew: no run folder holds them.
        trust: Whether for that the code and the services that a run's config names may be used.

    Returns:
        ``{"format", "raytuner", "made", "runs": [...]}``; see `run_data`.

    Raises:
        DataError: One is no run folder, or damaged, or of a newer version.
    """
    room = Room()
    runs = [run_data(folder, texts=texts, trust=trust, room=room) for folder in folders]
    return {"format": FORMAT, "raytuner": __version__, "made": utc_now(), "runs": runs}


def run_data(folder: Path, *, texts: bool = True, trust: bool = False, room: Room | None = None) -> dict[str, Any]:
    """What there is to say of one run, finished or not; nothing of it is imported unless it is trusted.

    Args:
        folder: The run folder.
        texts: See `report_of`.
        trust: See `report_of`.
        room: How much of texts may be shown.

    Returns:
        ``{"name", "folder", "state", "objectives", "answer", "trials": [...], "importance", "effects", "interactions",
        "spent", "questions", ...}``.

    Raises:
        DataError: See `report_of`.
    """
    run = read_run(folder)
    room = room or Room()
    try:
        return _run_data(folder, run, texts=texts, trust=trust, room=room)
    except DAMAGE as error:  # of what it says of itself
        logger.debug("the report of %s failed", folder, exc_info=True)
        what = in_a_line(error)
        raise DataError(f"{folder}: what the run says of itself is damaged ({what}); restore the folder") from error


def _run_data(folder: Path, run: Mapping[str, Any], *, texts: bool, trust: bool, room: Room) -> dict[str, Any]:
    study = load_study(folder)
    result, why_none = _result(study, run)
    rows = read_log(folder).rows
    tried = [Tried(trial.shown, trial.metrics) for trial in study.scored]
    importance = importances(tried, study.goals)
    important = [row["parameter"] for row in importance["shares"] if row["objective"] == study.metric]
    cost = None if result is None else result.cost
    found: dict[str, Any] = jsonable(
        {
            **_head(folder, run, study),
            "answer": None if result is None else answer_of(result),
            "no_answer": why_none,
            "trials": _trials(rows, study, result, cost),
            "importance": importance,
            "effects": effects(tried, study.metric),
            "interactions": interactions(tried, study.metric, important),
            "spent": spent(folder, rows, cost),
            "questions": None
            if result is None
            else questions_of(folder, run, study, result, texts=texts, trust=trust, room=room),
        }
    )
    return found


def _result(study: Study, run: Mapping[str, Any]) -> tuple[TunedResult | None, str | None]:
    """The result, or why there is none yet."""
    if not study.trials:
        return None, "no trial has begun"
    if not study.scored:
        failed = study.failed
        if failed and len(failed) == study.ended:
            return None, f"all {len(failed)} trials that have ended failed: {summary_of(failed[0].error or '')}"
        return None, so_far(study.goals, list(study.trials.values())) or "no trial has been scored yet"
    try:
        return result_of(study, dict(run)), None
    except (AllTrialsFailedError, InfeasibleError) as error:
        return None, str(error)


def _head(folder: Path, run: Mapping[str, Any], study: Study) -> dict[str, Any]:
    state = state_of(folder, run)
    return {
        "name": run.get("name", folder.name),
        "folder": folder.name,
        "state": state,
        "ended": run.get("ended") or run.get("stopped"),
        "created": run.get("created"),
        "seconds": None if run.get("seconds") is None else run["seconds"] + run.get("seconds_before", 0.0),
        "objectives": [goal.model_dump() for goal in study.goals],
        "search": run.get("search"),
        "scheduler": run.get("scheduler"),
        "seed": run.get("seed"),
        "planned": run.get("trials"),
        "default_trial": run.get("default_trial"),
        "versions": run.get("versions"),
        "notes": list(dict.fromkeys([*run.get("notes", ()), *study.notes])),
        "own_code": dotted_paths(folder, run, (trial.params for trial in study.trials.values())),
        "has_best_yaml": (folder / "best.yaml").is_file(),
    }


def _trials(
    rows: Sequence[Mapping[str, Any]], study: Study, result: TunedResult | None, cost: Cost | None
) -> list[dict[str, Any]]:
    """All trials, those that have ended first and in that order."""
    order = [row["trial"] for row in rows if row["kind"] == "trial"]
    last = {number: place for place, number in enumerate(order)}
    trials = sorted(study.trials.values(), key=lambda trial: (last.get(trial.number, math.inf), trial.number))
    shown = set() if result is None else {found.trial for found in leaders(result)}
    front = set() if result is None else {found.trial for found in result.pareto}
    return [
        {
            "trial": trial.number,
            "state": _state(trial, study),
            "params": {name: plain(value) for name, value in trial.shown.items()},
            "metrics": {name: _rounded(value) for name, value in trial.metrics.items()},
            "questions": len(trial.questions),
            "seconds": round(trial.seconds, 3),
            **({"reason": trial.stopped} if trial.stopped else {}),
            **({"error": summary_of(trial.error)} if trial.error else {}),
            **({"beyond": breached} if (breached := study.breaches(trial)) and trial.finished else {}),
            **({"usd": cost.trials[trial.number].usd} if cost and trial.number in cost.trials else {}),
            **({"front": True} if trial.number in front else {}),
            **({"leader": True} if trial.number in shown else {}),
        }
        for trial in trials
    ]


def _state(trial: Trial, study: Study) -> str:
    if trial.error is not None:
        return "failed"
    if trial.stopped is not None:
        return "stopped"
    return "scored" if trial.finished else "unfinished"


def _rounded(value: float) -> float:
    """Six digits, of which nobody sees more; a thousand trials have many numbers."""
    return float(f"{value:.6g}")
