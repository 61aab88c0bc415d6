"""What the driver has to do with trackers: they are told of what happens in the study."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from raytuner.confirm import Confirmation
from raytuner.cost import Cost
from raytuner.errors import redact
from raytuner.past import Past
from raytuner.results import summary_of
from raytuner.study import Study, Trial
from raytuner.tracking import registry
from raytuner.tracking.config import TrackConfig
from raytuner.tracking.feed import Feed
from raytuner.tracking.tracker import EndFacts, RunFacts, State, Step, Tracker, TrialFacts, plain, withheld
from raytuner.values import Means
from raytuner.yaml_text import dump, read

LIMIT_S = 60.0
"""So long a search waits at its end for trackers that are behind."""


class Tracking:
    """Tells trackers of a search; a listener of its study.

    Args:
        trackers: The trackers by name.
        texts: The names of those that are told texts as they are.
        limit_s: See `LIMIT_S`.
    """

    def __init__(self, trackers: Mapping[str, Tracker], texts: Sequence[str] = (), limit_s: float = LIMIT_S) -> None:
        self._trackers = trackers
        self._texts = texts
        self._limit_s = limit_s
        self._steps: dict[int, list[Step]] = {}
        self._feeds: dict[str, Feed] = {}

    @classmethod
    def of(cls, track: TrackConfig) -> Tracking:
        """The trackers that a config asks for.

        Raises:
            ConfigError: One of them cannot work here.
        """
        registry.check(track)
        asked = track.asked
        texts = [name for name, section in asked.items() if section.texts]
        return cls({name: registry.make(name, section) for name, section in asked.items()}, texts)

    def begin(self, study: Study, space: Any, run: Mapping[str, Any], config: str, past: Past) -> None:
        """The search begins, or goes on; from now on changes are told.

        Args:
            study: The study, with the trials of before in it.
            space: The search space.
            run: What ``run.json`` says of it.
            config: The config as YAML; empty without one.
            past: The log of before.
        """
        if not self._trackers or study.folder is None:
            return
        facts = {name: run.get(name) for name in ("created", "search", "scheduler", "trials", "seed", "default_trial")}
        facts |= {f"version {name}": found for name, found in (run.get("versions") or {}).items()}
        identity = hashlib.sha256(f"{run['name']} {run['created']} {study.folder.name}".encode()).hexdigest()[:12]
        for name, tracker in self._trackers.items():
            said = RunFacts(identity, study.folder, study.goals, space, facts, _config(config, name in self._texts))
            self._feeds[name] = Feed(name, tracker, said)
        self._steps = {number: list(_steps(found.blocks)) for number, found in past.trials.items()}
        for number in sorted(study.trials):
            self._tell(study.trials[number])

    def on_change(self, study: Study, trial: Trial) -> None:
        """Tell of a trial that has changed; a listener of the study."""
        if not self._feeds:
            return
        steps = self._steps.setdefault(trial.number, [])
        if not trial.questions:
            steps.clear()  # it begins, maybe anew
        elif not steps or len(trial.questions) > steps[-1].questions:
            steps.append(Step(len(trial.questions), dict(trial.metrics)))
        self._tell(trial)

    def end(self, study: Study, cost: Cost | None, confirmation: Confirmation | None, *, finished: bool) -> list[str]:
        """Tell of the end, and wait until all is told, but not for long.

        Args:
            study: The study.
            cost: What the calls of services took.
            confirmation: What the held-out questions say.
            finished: Whether the search ran to its end.

        Returns:
            What could not be told, a line for each tracker.
        """
        if not self._feeds:
            return []
        spent = cost.trials if cost is not None else {}
        held_out = {one.trial: one.metrics for one in confirmation.results} if confirmation is not None else {}
        for number in sorted({*spent, *held_out} & set(study.trials)):
            self._tell(study.trials[number], spent=spent.get(number), held_out=held_out.get(number, {}))
        best = study.best.number if study.best is not None else None
        end = EndFacts(finished, best, _conclusion(study, cost, confirmation), held_out)
        lines = [feed.close(end, self._limit_s) for feed in self._feeds.values()]
        self._feeds = {}
        return [f"track: {line}" for line in lines if line is not None]

    def _tell(self, trial: Trial, **more: Any) -> None:
        facts = _facts(trial, tuple(self._steps.get(trial.number, ())), **more)
        hidden = facts.withheld()
        for name, feed in self._feeds.items():
            feed.put(facts if name in self._texts else hidden)


def _facts(trial: Trial, steps: Sequence[Step], **more: Any) -> TrialFacts:
    state: State = "running"
    if trial.finished:
        state = "failed" if trial.error is not None else "stopped" if trial.stopped is not None else "scored"
    reason = summary_of(trial.error) if trial.error is not None else trial.stopped or ""
    reason = redact(reason)[:500]
    return TrialFacts(
        trial.number, plain(trial.shown), state, dict(trial.metrics), steps, trial.seconds, reason, **more
    )


def _steps(blocks: Sequence[Mapping[str, Any]]) -> Any:
    means = Means()
    for block in blocks:
        means.add(dict(block))
        yield Step(means.count, means.values())


def _conclusion(study: Study, cost: Cost | None, confirmation: Confirmation | None) -> dict[str, Any]:
    """What is said of a search that has ended, by name; only what is known."""
    best = study.best
    found: dict[str, Any] = {"seconds": study.seconds, "trials": len(study.trials)}
    found |= {"stopped": len(study.stopped), "failed": len(study.failed)}
    if best is not None:
        found |= {
            "best trial": best.number,
            **{f"best {goal.metric}": best.metrics[goal.metric] for goal in study.goals},
        }
    if confirmation is not None:
        found["trial to take"] = confirmation.ties[0]
    if cost is not None:
        found |= {"tokens": cost.total.tokens, "calls": cost.total.attempts, "usd": cost.total.usd}
    return {name: value for name, value in found.items() if value is not None and math.isfinite(value)}


def _config(text: str, texts: bool) -> str:
    """The config without secrets and, unless they are asked for, texts."""
    if not text:
        return ""
    return redact(text if texts else dump(withheld(read(text, "config"))))
