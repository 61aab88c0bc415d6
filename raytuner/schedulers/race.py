"""Trials that arrive one by one, each raced against the best so far."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Lt
from scipy.special import stdtrit

from raytuner.goals import Goals, shown
from raytuner.objective import Values
from raytuner.schedulers.rule import Losses, Rule
from raytuner.standing import standing
from raytuner.stats import moderated_t

FIRST = 16
LEVEL = 0.005
WEIGHT = 8.0
"""What measured well on several corpora; see the guide."""


class Against(NamedTuple):
    """A comparison of a trial with another one.

    Attributes:
        other: The number of the other one.
        differences: By how much its losses exceed those of the other one: a row for each shared question.
    """

    other: int
    differences: Losses


class Race(Rule):
    """Stops a trial that is surely behind the best so far, on the questions that both have.

    The best are the finished trials that no other one dominates, and those in flight. Behind is what a one-sided paired
    t test says of every objective (so of all together: Berger, "Multiparameter hypothesis testing and acceptance
    sampling", Technometrics 24, 1982); an objective in which both are equal on all questions does not count. A trial is
    also stopped that is surely beyond a limit. A trial that is stopped is told as the other one's mean and the
    difference, since its mean so far is of other questions than the means it would be compared with.

    Args:
        goals: What is optimised.
        total: See `Rule`.
        kept: See `Rule`.
        first: So many questions a trial is evaluated on before it is compared at all.
        level: The one-sided level of the test: in so many of the comparisons of two that are equal, one is stopped.
        weight: The deviation of the differences is drawn towards that of the other trials as if that came of so many
            questions; without it, near-twins of the best with a few equal scores would be stopped by chance.
    """

    def __init__(
        self,
        goals: Goals,
        total: int | None = None,
        kept: Collection[int] = (),
        *,
        first: Annotated[int, Ge(2)] = FIRST,
        level: Annotated[float, Gt(0), Lt(0.5)] = LEVEL,
        weight: Annotated[float, Ge(0)] = WEIGHT,
    ) -> None:
        super().__init__(goals, total, kept)
        self._first, self._level, self._weight = first, level, weight
        self._best: list[int] = []
        self._deviations: dict[int, Losses] = {}  # of each trial that was compared: those of its differences
        self._told: dict[int, Mapping[str, float]] = {}

    def end(self, number: int, *, failed: bool = False) -> None:
        """See `Rule.end`."""
        super().end(number, failed=failed)
        if not failed:
            known = sorted(self.finished)
            found = standing(self.goals, [self.values(self.means(one)) for one in known])
            self._best = [known[at] for at in found.front]

    def stops(self, number: int, values: Values) -> str | None:
        """See `Rule.stops`."""
        if self.count(number) < self._first:
            return None
        for against in self._opponents(number):
            if self._is_behind(number, against):
                return self._stopped(number, against)
        return self._beyond_limit(number)

    def told(self, number: int) -> Mapping[str, float]:
        """See `Rule.told`."""
        return self._told.get(number) or super().told(number)

    def _opponents(self, number: int) -> list[Against]:
        """The others that it is compared with; of one objective the one that it is most behind."""
        found = []
        for other in {*self._best, *self.running} - {number}:
            mine, theirs = self.shared(number, other)
            if len(mine) >= self._first:
                found.append(Against(other, mine - theirs))
        if len(self.goals) > 1 or not found:
            return found
        return [max(found, key=lambda against: (against.differences.mean(), -against.other))]

    def _is_behind(self, number: int, against: Against) -> bool:
        """Whether it is surely worse in all objectives in which the two differ at all."""
        differences = against.differences
        self._deviations[number] = differences.std(axis=0, ddof=1)
        usual = np.median(list(self._deviations.values()), axis=0)
        differ = differences.any(axis=0)
        t = moderated_t(differences.T, deviation=usual, weight=self._weight, population=self.total)
        return bool(differ.any() and (t[differ] > self._critical(len(differences))).all())

    def _critical(self, questions: int) -> float:
        return float(-stdtrit(questions - 1, self._level))

    def _stopped(self, number: int, against: Against) -> str:
        behind = against.differences.mean(axis=0)
        self._told[number] = self.values(self.means(against.other) + behind)
        first = self.goals[0].metric
        count = len(against.differences)
        return f"{first} {shown(abs(behind[0]))} behind trial {against.other} on {count} questions"

    def _beyond_limit(self, number: int) -> str | None:
        """What of a trial is surely beyond a limit."""
        for goal, column in zip(self.goals, self.losses(number).T, strict=True):
            losses = column[~np.isnan(column)]
            if goal.limit is None or len(losses) < self._first:
                continue
            excess = losses - goal.loss(goal.limit)
            t = moderated_t(excess, deviation=0, weight=0, population=self.total)[0]
            if t > self._critical(len(excess)):
                return f"{goal.breach(goal.loss(losses.mean()))}, on {len(excess)} questions"
        return None
