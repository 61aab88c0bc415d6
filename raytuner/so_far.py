"""Which trial leads while none has ended, as in a race of all configurations at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from raytuner.goals import Goals, shown
from raytuner.standing import standing
from raytuner.values import Means


class Begun(Protocol):
    """What has to be known of a trial; see `raytuner.study.Trial`."""

    number: int
    questions: dict[str, dict[str, float]]
    finished: bool

    @property
    def shown(self) -> Mapping[str, Any]:
        """The configuration."""
        ...


def so_far(goals: Goals, trials: Sequence[Begun]) -> str:
    """Who leads, on the questions that all have that were not dropped; empty if there is nothing to say."""
    alive = [trial for trial in trials if trial.questions and not trial.finished]
    if not alive:
        return ""
    shared = set.intersection(*(set(trial.questions) for trial in alive))
    means = [_means(trial, shared) for trial in alive]
    at = standing(goals, means).order[0]
    values = ", ".join(f"{goal.metric} {shown(means[at].get(goal.metric, math.nan))}" for goal in goals)
    params = ", ".join(f"{name}={value}" for name, value in alive[at].shown.items())
    leads = f"trial {alive[at].number} leads with {values} ({params})"
    return f"no trial has ended; of {len(alive)} on {len(shared)} questions {leads}"


def _means(trial: Begun, questions: set[str]) -> dict[str, float]:
    found = Means()
    found.add({question: trial.questions[question] for question in sorted(questions)})
    return found.values()
