"""What a configuration of a run scored on each question, read back from the run's folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from raytuner.confirm import Values
from raytuner.errors import AllTrialsFailedError, DataError, InfeasibleError
from raytuner.goals import Goal
from raytuner.results import summary_of
from raytuner.run_folder import goals_of, has_ended, read_run
from raytuner.saved_run import documents_of, load_study, result_of
from raytuner.study import Study, Trial
from raytuner.weighting import WEIGHTED

SIMILARITY = "semantic_similarity"


class Scored(NamedTuple):
    """A configuration and what it scored on each question.

    Attributes:
        name: That of its run, or when it was scored.
        trial: The number of its trial, of a run.
        params: The configuration: what the run tuned.
        goal: What it was scored for, of several objectives the first.
        questions: What it scored on the questions of the search.
        held_out: What it scored on those that were held out.
        documents: The document of each question; empty if that is not known.
        asked: For each question a hash of its text; empty if that is not known.
        config: The config of the run, as plain values; empty if that is not known.
        notes: What has to be said of it.
    """

    name: str
    trial: int | None
    params: Mapping[str, Any]
    goal: Goal
    questions: Values
    held_out: Values
    documents: Mapping[str, str]
    asked: Mapping[str, str]
    config: Mapping[str, Any]
    notes: Sequence[str] = ()

    def scored_by(self, metric: str) -> dict[str, Any]:
        """What values of a metric depend on beside configuration, questions and documents."""
        return scored_by(self.config, metric)


def scored_by(config: Mapping[str, Any], metric: str) -> dict[str, Any]:
    """What values of a metric depend on beside configuration, questions and documents, by a config as plain values."""
    own, pipeline = config.get("objective") or {}, config.get("pipeline") or {}
    found = {name: own[name] for name in ("judge", "repeats", "weights") if name in own}
    if config and metric in (SIMILARITY, WEIGHTED):
        found["similarity_embedding"] = own.get("similarity_embedding") or pipeline.get("embedding") or "minilm"
    return found


def scored(folder: Path, trial: int | None = None) -> Scored:
    """A configuration of a run; nothing in the run folder is imported or run.

    Args:
        folder: The run folder.
        trial: The number of a trial; by default the configuration to take.

    Raises:
        DataError: It is no run folder, it is damaged or of a later version, nothing in it has a score, or it has no
            such trial.
    """
    run, study = read_run(folder), load_study(folder)
    try:
        number = result_of(study, run).best.trial if trial is None else trial
        found = _checked(study, folder, number)
        own = Scored(
            folder.name,
            found.number,
            found.params,
            goals_of(run, folder)[0],
            found.questions,
            found.held_out,
            documents_of(folder),
            dict(run.get("data", {}).get("asked", {})),
            _config_of(run),
            list(_notes(folder, run, study, found)),
        )
    except (AllTrialsFailedError, InfeasibleError) as error:
        raise DataError(f"{folder}: nothing to compare with: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(f"{folder}: the run is damaged; restore its files") from None
    if not own.questions and not own.held_out:
        raise DataError(f"{folder}: trial {number} has no values by question, which a comparison takes")
    return own


def _config_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a run as plain values.

    Raises:
        TypeError: It is damaged: it, or one of the sections that are looked at, is no mapping.
    """
    config = dict(run.get("config", {}))
    objective = config.get("objective") or {}
    for section in (objective, config.get("pipeline") or {}, objective.get("weights") or {}):
        if not isinstance(section, Mapping):
            raise TypeError(f"{section!r} is no mapping")
    return config


def _checked(study: Study, folder: Path, number: int | None) -> Trial:
    """A trial with a score.

    Raises:
        DataError: There is none of this number, it failed, or it has not ended.
    """
    found = study.trials.get(number or 0)
    if found is None:
        numbers = f"1 to {max(study.trials)}" if study.trials else "none"
        raise DataError(f"{folder}: no trial {number}; the trials are {numbers}")
    if found.error is not None:
        raise DataError(f"{folder}: trial {number} failed ({summary_of(found.error)}); name another one")
    if not found.finished:
        raise DataError(f"{folder}: trial {number} has not ended; wait for it, or name another one")
    return found


def _notes(folder: Path, run: Mapping[str, Any], study: Study, found: Trial) -> Iterator[str]:
    if not has_ended(run):
        yield f"{folder.name} has not ended: this is what it has so far"
    if found.stopped is not None:
        yield f"{folder.name}: trial {found.number} was stopped early, {len(found.questions)} questions were scored"
    yield from (f"{folder.name}: {note}" for note in study.notes)
