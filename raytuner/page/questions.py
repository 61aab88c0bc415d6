"""What the leaders of a search scored on each question, and what they retrieved for the worst."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raytuner.page.answer import leaders, marks
from raytuner.page.retrieved_anew import Anew, Room, anew
from raytuner.results import RunResult, TunedResult
from raytuner.study import Study
from raytuner.values import failures

WORST = 12
"""So many questions are shown with what was retrieved: those on which the best configuration does worst,"""
LOST = 4
"""and so many on which it loses the most against the default."""


def questions_of(
    folder: Path, run: Mapping[str, Any], study: Study, result: TunedResult, *, texts: bool, trust: bool, room: Room
) -> dict[str, Any] | None:
    """The leaders question by question.

    Args:
        folder: The run folder.
        run: What its ``run.json`` holds.
        study: All trials.
        result: Those that were scored.
        texts: Whether texts are read anew.
        trust: Whether code and services that the config names may be used for that.
        room: How much of texts may be shown.

    Returns:
        ``{"metric", "leaders": [{"trial", "marks"}], "rows": [{"id", "held_out", "document", "scores", "mean", "top"}],
        "worst": [id], "texts"}``: the score of each leader on each question, the worst for the first leader first, with
        the mean of all trials and the best of any; None if the objective has no questions.
    """
    chosen = [found for found in leaders(result) if found.questions]
    if not chosen:
        return None
    rows = _rows(study, result, chosen)
    worst = _worst(rows, result, [found.trial for found in chosen])
    return {
        "metric": study.metric,
        "mode": study.mode,
        "leaders": [{"trial": found.trial, "marks": marks(result, found)} for found in chosen],
        "rows": rows,
        "worst": worst,
        "texts": _texts(folder, run, chosen, worst, texts=texts, trust=trust, room=room),
    }


def _rows(study: Study, result: TunedResult, chosen: list[RunResult]) -> list[dict[str, Any]]:
    goal = study.goals[0]
    values = {found.trial: _all_values(study, found) for found in chosen}
    every = [trial.questions for trial in study.scored]
    rows = []
    for name in dict.fromkeys(name for found in chosen for name in values[found.trial]):
        known = [found[name][goal.metric] for found in every if goal.metric in found.get(name, {})]
        row: dict[str, Any] = {
            "id": name,
            "held_out": name not in chosen[0].questions,
            "document": result.documents.get(name),
            "scores": [_score(values[found.trial].get(name, {}).get(goal.metric)) for found in chosen],
            "mean": _score(math.fsum(known) / len(known)) if known else None,
            "top": _score(min(known, key=goal.loss)) if known else None,
        }
        failed = [failures(values[found.trial]).get(name) for found in chosen]
        rows.append({**row, **({"failed": failed} if any(failed) else {})})
    return sorted(rows, key=lambda row: -_loss(goal.loss, row["scores"][0]))


def _all_values(study: Study, found: RunResult) -> Mapping[str, dict[str, float]]:
    held_out = {} if found.trial is None else study.trials[found.trial].held_out
    return {**found.questions, **held_out}


def _loss(loss: Any, score: float | None) -> float:
    return math.inf if score is None else float(loss(score))


def _score(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _worst(rows: list[dict[str, Any]], result: TunedResult, trials: list[int | None]) -> list[str]:
    """The questions to look at, by their ids."""
    found = [row["id"] for row in rows[:WORST]]
    default = None if result.default is None else result.default.trial
    if default not in trials[1:]:
        return found
    loss, at = result.objectives[0].loss, trials.index(default)
    known = [row for row in rows if row["scores"][0] is not None and row["scores"][at] is not None]
    known = [row for row in known if loss(row["scores"][0]) > loss(row["scores"][at])]
    known.sort(key=lambda row: loss(row["scores"][at]) - loss(row["scores"][0]))
    return list(dict.fromkeys([*found, *(row["id"] for row in known[:LOST])]))


def _texts(
    folder: Path,
    run: Mapping[str, Any],
    chosen: list[RunResult],
    worst: list[str],
    *,
    texts: bool,
    trust: bool,
    room: Room,
) -> dict[str, Any]:
    """The texts of the questions, and what was retrieved for the worst; or why there are none."""
    if not texts:
        return {"why_none": "texts were left out, as asked (--no-texts)"}
    source = anew(folder, run, [found.params for found in chosen], trust=trust, room=room)
    if not isinstance(source, Anew):
        return {"why_none": source}
    return source.texts([found.params for found in chosen], worst)
