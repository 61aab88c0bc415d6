"""Going on with a search: what an earlier driver has logged becomes what this one knows."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from raytuner.errors import SpaceError
from raytuner.objective import Objective
from raytuner.past import Past, PastTrial, id_of
from raytuner.space import SearchSpace
from raytuner.study import Study, Trial
from raytuner.values import failures


def take_up(study: Study, past: Past, total: int | None) -> None:
    """Put the trials of a log into a study.

    A trial that has answered all questions, but whose end was not logged any more, ends now.

    Args:
        study: A new one, which writes to the same log.
        past: The log.
        total: How many questions a trial has in all; None if that is not known.
    """
    for found in past.trials.values():
        trial = study.trials[found.number] = _trial(found)
        if found.end is None and total and len(trial.questions) >= total:
            study.finish(found.number, 0.0)
            found.end = _end_of(trial)
    for note in past.notes:
        study.note(note)


def find_points(past: Past, space: SearchSpace) -> None:
    """Find the raw sample of each trial of which the log has only the end, so that it is not suggested again."""
    for trial in past.trials.values():
        if trial.point is None:
            with contextlib.suppress(SpaceError):  # its values are no longer of the space, or names of objects
                trial.point = space.encode(trial.params)


def would_suggest(past: Past, space: SearchSpace, make: Callable[[], Any]) -> bool:
    """Whether a search suggests what an earlier one did, each under the same number; so all can go on at once.

    Args:
        past: The log of the earlier search.
        space: The search space.
        make: Makes the search anew.
    """
    if not past.trials:
        return True
    searcher = make()
    for number in range(1, max(past.trials) + 1):
        found, trial = searcher.suggest(str(number)), past.trials.get(number)
        if not isinstance(found, dict):
            return False
        if trial is not None and (trial.point is None or space.key(trial.point) != space.key(found["point"])):
            return False
    return True


def _trial(found: PastTrial) -> Trial:
    trial = Trial(found.number, dict(found.params), paused=found.end is None)
    for values in found.blocks:
        trial.means.add(values)
        trial.questions.update(values)
    for values in found.held_out:
        trial.held_out.update(values)
    trial.next_block, trial.held_out_blocks = len(found.blocks), len(found.held_out)
    trial.metrics = trial.means.values()
    if found.end is not None:
        row = found.end
        trial.metrics = {name: math.nan if value is None else value for name, value in row["metrics"].items()}
        trial.seconds, trial.error, trial.finished = row["seconds"], row["error"], True
        trial.stopped, trial.told = row.get("stopped"), dict(row.get("told") or {})
    return trial


def _end_of(trial: Trial) -> dict[str, Any]:
    return {
        "kind": "trial",
        "trial": trial.number,
        "params": trial.params,
        "metrics": trial.metrics,
        "seconds": trial.seconds,
        "error": None,
    }


def begun(past: Past) -> dict[str, dict[str, Any]]:
    """What an earlier driver has begun, by what the search algorithm calls it; of which the point is known."""
    return {
        id_of(trial.number): {"number": trial.number, "point": trial.point, "unfinished": trial.end is None}
        for trial in past.trials.values()
        if trial.point is not None
    }


def left_of(study: Study, objective: Objective) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Says what is left of a trial, from what was handed out of it."""

    def left(handed: Mapping[str, Any]) -> dict[str, Any]:
        trial = study.trials.get(handed["number"])
        rest = {name: value for name, value in handed.items() if name != "unfinished"}
        if trial is None or not objective.resumable:
            return rest
        if handed.get("held_out"):
            return {
                **rest,
                "start": handed["start"] + trial.held_out_blocks,
                "failed": len(failures(trial.held_out)),
            }
        if objective.total and len(trial.questions) >= objective.total:
            rest["answered"] = True  # what follows are held-out questions
        start = max(handed.get("start", 0), trial.next_block)
        return {**rest, "start": start, "failed": len(failures(trial.questions))}

    return left


def changes(before: Mapping[str, Any], now: Mapping[str, Any], path: str = "") -> list[str]:
    """What is different between two configs, a line each."""
    found = []
    for key in dict.fromkeys((*before, *now)):
        where = f"{path}{key}"
        one, other = before.get(key), now.get(key)
        if one == other:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += changes(one, other, f"{where}.")
        else:
            found.append(f"{where}: {_short(one)} -> {_short(other)}")
    return found


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
