"""Trials that arrive one by one, each raced against the best so far."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le, Lt

from raytuner.goals import Goals, shown
from raytuner.schedulers.compare import Losses, Test
from raytuner.schedulers.rule import Rule
from raytuner.standing import standing
from raytuner.values import Values

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

    The best are the finished trials that no other one dominates, and those in flight. Behind is what `Test`
    says, a one-sided paired t test. A trial is also stopped that is surely beyond a limit.

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
        weight: Annotated[float, Ge(0), Le(1e6)] = WEIGHT,
    ) -> None:
        super().__init__(goals, total, kept)
        self._test = Test(level, weight, first)
        self._best: list[int] = []
        self._deviations: dict[int, Losses] = {}  # of each trial that was compared: those of its differences

    def end(self, number: int, *, failed: bool = False) -> None:
        """See `Rule.end`."""
        super().end(number, failed=failed)
        if not failed:
            known = sorted(self.finished)
            found = standing(self.goals, [self.values(self.means(one)) for one in known])
            self._best = [known[at] for at in found.front]

    def stops(self, number: int, values: Values) -> str | None:
        """See `Rule.stops`."""
        if self.count(number) < self._test.first:
            return None
        for against in self._opponents(number):
            self._deviations[number] = against.differences.std(axis=0, ddof=1)
            usual = np.median(list(self._deviations.values()), axis=0)
            if self._test.is_behind(against.differences, usual, self.total):
                return said(self.goals, against)
        return self._test.beyond(self.goals, self.losses(number), self.total)

    def _opponents(self, number: int) -> list[Against]:
        """The others that it is compared with; of one objective the one that it is most behind."""
        found = []
        for other in {*self._best, *self.running} - {number}:
            mine, theirs = self.shared(number, other)
            if len(mine) >= self._test.first:
                found.append(Against(other, mine - theirs))
        if len(self.goals) > 1 or not found:
            return found
        return [max(found, key=lambda against: (against.differences.mean(), -against.other))]


def said(goals: Goals, against: Against) -> str:
    """By how much a trial is behind."""
    behind = abs(float(against.differences[:, 0].mean()))
    return f"{goals[0].metric} {shown(behind)} behind trial {against.other} on {len(against.differences)} questions"
