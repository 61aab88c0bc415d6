"""Warm start: what earlier runs tell a new search before its first trial."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from raytuner import __version__
from raytuner.config import TuneConfig
from raytuner.data_hashes import data_of
from raytuner.datasets.blocks import Order, order
from raytuner.errors import AllTrialsFailedError, DataError, InfeasibleError, UserError
from raytuner.goals import Goal, described
from raytuner.own_objective import OwnObjective
from raytuner.pipeline import parameters as stages
from raytuner.rag import RagObjective
from raytuner.run_folder import find_run, goals_of, read_run
from raytuner.saved_run import load_study, result_of
from raytuner.scored_run import scored_by
from raytuner.search.task import Evaluated
from raytuner.space import Params, Raw, SearchSpace
from raytuner.study import Study, Trial

FILE = "warm_start.json"
LEADERS = 5
"""So many of the best configurations of earlier runs are tried first, and no more than half of the trials."""


FEWEST = 8
"""With fewer questions than this a score is not estimated."""

Rows = Mapping[str, Mapping[str, float]]  # question -> metric -> value


@dataclass(frozen=True)
class WarmStart:
    """What is known before the first trial.

    Attributes:
        first: Raw samples of the leaders of earlier runs, best first, which are evaluated after the default.
        known: What other configurations have scored on the same documents and questions; they are no trials.
        said: A line for each run, and what else has to be said.
    """

    first: Sequence[Raw] = ()
    known: Sequence[Evaluated] = ()
    said: Sequence[str] = ()

    @property
    def files(self) -> dict[str, str]:
        """What is kept of it in the run folder, from which a search that goes on takes it."""
        return {FILE: json.dumps(asdict(self), indent=1) + "\n"} if self.said else {}


NONE = WarmStart()


def kept(folder: Path) -> WarmStart:
    """The warm start of a run that goes on.

    Raises:
        DataError: The file is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return NONE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return WarmStart(found["first"], [Evaluated(*one) for one in found["known"]], found["said"])
    except (ValueError, KeyError, TypeError):
        raise DataError(f"{path} is damaged; restore the file") from None


def run_of(path: str) -> Path:
    """The folder of an earlier run: a path of one, or of its name, e.g. ``runs/rag``, of which the newest is taken.

    Raises:
        DataError: There is none.
    """
    place = Path(path)
    return find_run(place.name if not place.is_dir() else str(place), place.parent)


def warm_start(
    config: TuneConfig,
    objective: RagObjective | OwnObjective,
    space: SearchSpace,
    goals: Sequence[Goal],
    trials: int | None,
) -> WarmStart:
    """Read the earlier runs that a config names.

    The leaders of each are tried first, taken from the runs in turn. The scores of the other configurations are told
    only where they are those that this search would find: the same documents, questions, way of scoring, version of
    raytuner and fixed parameters.

    Args:
        config: The config.
        objective: That of the config.
        space: The search space.
        goals: What is optimised.
        trials: The most trials.

    Raises:
        DataError: A run is not there, damaged, of a later version, for another metric, or nothing in it has a score.
    """
    if not config.warm_start:
        return NONE
    now = _Now.of(config, objective, space, goals)
    runs = [_Earlier.read(run_of(path), now) for path in config.warm_start]
    first: dict[str, Raw] = {}
    default = space.key(space.default())
    for raw in (raw for turn in zip_longest(*(run.leaders for run in runs)) for raw in turn if raw is not None):
        if len(first) < min(LEADERS, trials // 2 if trials else LEADERS) and space.key(raw) != default:
            first.setdefault(space.key(raw), raw)
    known: dict[str, Evaluated] = {}
    for one in (one for run in runs for one in run.known):
        if space.key(one.raw) not in first and space.key(one.raw) != default:
            known.setdefault(space.key(one.raw), one)
    total = f"{len(first)} leaders are tried first, the scores of {len(known)} others are known"
    return WarmStart(list(first.values()), list(known.values()), [*(line for run in runs for line in run.said), total])


class _Now(NamedTuple):
    """The search that begins; of its questions the ids of those that it scores, and of those that are held out."""

    config: TuneConfig
    objective: RagObjective | OwnObjective
    space: SearchSpace
    goals: Sequence[Goal]
    data: dict[str, dict[str, str]]
    searched: list[str]
    held_out: list[str]

    @classmethod
    def of(
        cls, config: TuneConfig, own: RagObjective | OwnObjective, space: SearchSpace, goals: Sequence[Goal]
    ) -> _Now:
        """The search of a config."""
        parts = Order([], [])
        if isinstance(own, RagObjective):
            parts = order(own.questions.questions, own.seed, own.block_size, own.holdout)
        searched, held_out = ([question.id for block in part for question in block] for part in parts)
        return cls(config, own, space, goals, data_of(own), searched, held_out)

    def complete(self, params: Params) -> Params:
        """A configuration with its fixed parameters and those that have their default."""
        return self.completed({**self.config.pipeline, **params})

    def completed(self, params: Mapping[str, Any]) -> Params:
        """Parameters with the defaults of the others."""
        return {**(stages.defaults() if isinstance(self.objective, RagObjective) else {}), **params}


@dataclass(frozen=True)
class _Earlier:
    """What an earlier run brings."""

    leaders: list[Raw]
    known: list[Evaluated]
    said: list[str]

    @classmethod
    def read(cls, folder: Path, now: _Now) -> _Earlier:
        run, study = read_run(folder), load_study(folder)
        _check_goal(folder, goals_of(run, folder)[0], now.goals[0])
        try:
            best = result_of(study, run).best.trial
            return cls._of(folder, run, study, sorted(study.scored, key=lambda trial: trial.number != best), now)
        except (AllTrialsFailedError, InfeasibleError) as error:
            raise DataError(f"warm_start: {folder}: nothing to start from: {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError):
            raise DataError(f"warm_start: {folder}: the run is damaged; restore its files, or leave it out") from None

    @classmethod
    def _of(cls, folder: Path, run: Mapping[str, Any], study: Study, ranked: Sequence[Trial], now: _Now) -> _Earlier:
        fixed = (run.get("config") or {}).get("pipeline") or {}
        complete = {trial.number: now.completed({**fixed, **trial.params}) for trial in (*ranked, *study.stopped)}
        fitting = {number: raw for number, params in complete.items() if (raw := fitted(now.space, params)) is not None}
        leaders = [fitting[trial.number] for trial in ranked if trial.number in fitting and not study.breaches(trial)][
            :LEADERS
        ]
        reason = _why_not_told(run, now)
        rows = [found for trial in ranked if len(found := _rows(trial, now)) == len(now.searched)]
        known = []
        for trial in (*ranked, *study.stopped) if reason is None else ():
            raw = fitting.get(trial.number)
            if raw is not None and now.complete(now.space.configuration(raw)) == complete[trial.number]:
                values = _values(trial, rows[0] if rows else None, now)
                known += [] if values is None else [Evaluated(raw, values)]
        told = f"{len(known)} scores are of the same documents and questions"
        said = [told if reason is None else f"{reason}: its scores are not told", *_seen(run, ranked, now)]
        if len(complete) > len(fitting):
            said.insert(1, f"{len(complete) - len(fitting)} of {len(complete)} configurations are outside of the space")
        return cls(leaders, known, [f"{folder.name}: {line}" for line in said])


def _check_goal(folder: Path, then: Goal, now: Goal) -> None:
    if (then.metric, then.mode) != (now.metric, now.mode):
        raise DataError(
            f"warm_start: {folder} is for {described([then])}, this search for {described([now])}; leave the run out"
        )


def fitted(space: SearchSpace, params: Mapping[str, Any]) -> Raw | None:
    """The raw sample of a configuration; None if the space has no such one.

    Args:
        space: The space.
        params: A value for each parameter that is active, and any others.
    """

    def pick(name: str) -> Any:
        parameter = space.parameters[name]
        return parameter.encode(parameter.exact(params[name]))

    try:
        raw = space.sample(pick)
    except (KeyError, UserError):
        return None
    return raw if space.is_valid(raw) else None


def _why_not_told(run: Mapping[str, Any], now: _Now) -> str | None:
    """Why scores of a run are not those that this search would find; None if they are."""
    then, config, settings = run.get("data") or {}, run.get("config") or {}, now.config.settings
    if isinstance(now.objective, OwnObjective):
        return "an objective of your own"
    if not then or not config or then.get("documents") != now.data["documents"]:
        return "other documents"
    if any(then["questions"].get(name) != now.data["questions"][name] for name in now.searched):
        return "other questions"
    metrics = {goal.metric for goal in now.goals}
    if any(scored_by(config, metric) != scored_by(settings, metric) for metric in metrics):
        return "scored otherwise"
    if any((config.get(name) or {}) != (settings.get(name) or {}) for name in ("models", "components")):
        return "other models or components"
    version = (run.get("versions") or {}).get("raytuner")
    return None if version == __version__ else f"of raytuner {version}"


def _values(trial: Trial, best: Rows | None, now: _Now) -> dict[str, float] | None:
    """What this search would find for a trial, by metric; None if too little is known.

    It is the mean over the questions that are scored now. Where the earlier search has not scored all of them, it is
    what `raytuner.schedulers.rule.Rule.told` takes: that of the best trial, and the mean difference to it on the
    questions that both have.
    """
    mine = _rows(trial, now)
    if len(mine) == len(now.searched):
        return _means(mine, list(mine), now)
    if best is None or len(shared := [name for name in mine if name in best]) < FEWEST:
        return None
    whole, theirs, own = (_means(rows, names, now) for rows, names in ((best, best), (best, shared), (mine, shared)))
    return {name: whole[name] + own[name] - theirs[name] for name in whole}


def _rows(trial: Trial, now: _Now) -> Rows:
    """What a trial has of the questions that are scored now; of those that failed then nothing."""
    known = {**trial.questions, **trial.held_out}
    names = [goal.metric for goal in now.goals]
    return {name: known[name] for name in now.searched if all(own in known.get(name, {}) for own in names)}


def _means(rows: Rows, names: Iterable[str], now: _Now) -> dict[str, float]:
    listed = list(names)
    return {goal.metric: math.fsum(rows[name][goal.metric] for name in listed) / len(listed) for goal in now.goals}


def _seen(run: Mapping[str, Any], ranked: Sequence[Trial], now: _Now) -> Iterator[str]:
    """Held-out questions that the earlier search chose its leaders by."""
    asked = (run.get("data") or {}).get("asked") or {}
    before = {name for trial in ranked for name in trial.questions}
    seen = [name for name in now.held_out if name in before and asked.get(name) == now.data["asked"][name]]
    if seen:
        count = f"{len(seen)} of the {len(now.held_out)}"
        yield f"it was searched by {count} questions that are held out now, which makes these optimistic; use its seed"
