"""All configurations at once: they are compared on the same questions, block by block, and the bad ones dropped."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Annotated

import numpy as np
from annotated_types import Ge, Gt, Le, Len, Lt

from raytuner.goals import Goals
from raytuner.schedulers.compare import Losses, Test
from raytuner.schedulers.race import FIRST, LEVEL, WEIGHT, Against, said
from raytuner.schedulers.rule import Rule
from raytuner.standing import Standing, standing
from raytuner.values import Values

Share = Annotated[float, Gt(0), Le(1)]
Caps = Sequence[Annotated[Sequence[Share], Len(2, 2)]]

CAPS = ((1 / 9, 1 / 5), (1 / 4, 1 / 12), (1 / 2, 1 / 32))
SURVIVORS = 4
DENSE = 80
"""Up to so many questions the trials are compared after each block, and then when there are a quarter more."""


class Batch(Rule):
    """Drops trials only when all that are left have answered the same questions.

    Args:
        goals: What is optimised.
        total: How many questions a trial has in all.
        kept: The numbers of trials that are never dropped.
    """

    def __init__(self, goals: Goals, total: int, kept: Collection[int] = ()) -> None:
        super().__init__(goals, total, kept)
        self._dropped: set[int] = set()
        self.hopeless: set[int] = set()  # dropped for what they are, and not for others that are better

    def begin(self, number: int) -> None:
        """See `Rule.begin`; one that goes on is not begun anew."""
        if number not in self._questions:
            super().begin(number)

    def stops(self, number: int, values: Values) -> str | None:
        """See `Rule.stops`: not before all have come so far."""
        return None

    @abstractmethod
    def is_look(self, count: int) -> bool:
        """Whether the trials are compared when all have answered so many questions."""

    @abstractmethod
    def behind(self, numbers: Sequence[int]) -> dict[int, str]:
        """Which of the trials that are left are dropped, and why."""

    def drop(self) -> dict[int, str]:
        """Compare the trials that are left.

        Returns:
            The numbers of those that are dropped, and why.
        """
        numbers = sorted(self.running)
        found = self.behind(numbers) if numbers else {}
        dropped = {number: why for number, why in found.items() if number not in self._kept}
        self.running -= set(dropped)
        self._dropped |= set(dropped) - self.hopeless
        return dropped

    def revive(self) -> list[int]:
        """Let those go on that were dropped last, where all that were better have failed.

        Returns:
            Their numbers; none while there are others.
        """
        if self.running or self.finished - set(self._kept) or not self._dropped:
            return []
        most = max(map(self.count, self._dropped))
        self.running = {number for number in self._dropped if self.count(number) == most}
        self._dropped -= self.running
        return sorted(self.running)

    def standing(self, numbers: Sequence[int]) -> Standing:
        """How trials stand to each other on the questions so far."""
        return standing(self.goals, [self.values(self.means(number)) for number in numbers])

    def beyond_cap(self, numbers: Sequence[int], cap: float, least: int = 1) -> dict[int, str]:
        """Those that are too many: all but the best share of the trials that began, at least so many."""
        most = max(least, math.ceil(cap * len(self._questions)))
        return {
            numbers[at]: f"not among the best {most} on {self.count(numbers[at])} questions"
            for at in self.standing(numbers).order[most:]
        }


class BatchRace(Batch):
    """Drops what is surely behind the best and, with one objective, what is not among the best few later on.

    The test is that of `Race`, against the best of those that are left, or for several objectives against their Pareto
    front; the deviation of the differences is drawn towards the median one.

    Args:
        goals: What is optimised.
        total: How many questions a trial has in all.
        kept: See `Batch`.
        first: See `Race`.
        level: See `Race`.
        weight: See `Race`.
        caps: Pairs: from which share of the questions on at most which share of the configurations is left.
        survivors: So many are left whatever the share: a handful of good ones is not told apart by a few questions.
    """

    def __init__(
        self,
        goals: Goals,
        total: int,
        kept: Collection[int] = (),
        *,
        first: Annotated[int, Ge(2)] = FIRST,
        level: Annotated[float, Gt(0), Lt(0.5)] = LEVEL,
        weight: Annotated[float, Ge(0), Le(1e6)] = WEIGHT,
        caps: Caps = CAPS,
        survivors: Annotated[int, Ge(1)] = SURVIVORS,
    ) -> None:
        super().__init__(goals, total, kept)
        self._test = Test(level, weight, first)
        self._caps = sorted((begins, cap) for begins, cap in caps)
        self._survivors = survivors
        self._next: float = first

    def is_look(self, count: int) -> bool:
        """See `Batch.is_look`; see `DENSE`."""
        return count >= self._next

    def behind(self, numbers: Sequence[int]) -> dict[int, str]:
        """See `Batch.behind`."""
        count = self.count(numbers[0])
        self._next = count + 1 if count < DENSE else 1.25 * count
        leaders = [numbers[at] for at in self.standing(numbers).front]
        dropped = {number: why for number in numbers if (why := self._beyond(number)) is not None}
        self.hopeless |= set(dropped)
        for leader in leaders:
            dropped |= self._surely_behind(leader, [one for one in numbers if one not in (*leaders, *dropped)])
        left = [number for number in numbers if number not in dropped]
        share = count / (self.total or 1)
        caps = [cap for begins, cap in self._caps if share >= begins and len(self.goals) == 1]
        return {**dropped, **(self.beyond_cap(left, caps[-1], self._survivors) if caps and left else {})}

    def _surely_behind(self, leader: int, numbers: Sequence[int]) -> dict[int, str]:
        found = {}
        for number in numbers:
            mine, theirs = self.shared(number, leader)
            if len(mine) >= self._test.first:
                found[number] = Against(leader, mine - theirs)
        if not found:
            return {}
        usual: Losses = np.median([against.differences.std(axis=0, ddof=1) for against in found.values()], axis=0)
        return {
            number: said(self.goals, against)
            for number, against in found.items()
            if self._test.is_behind(against.differences, usual, self.total)
        }

    def _beyond(self, number: int) -> str | None:
        return self._test.beyond(self.goals, self.losses(number), self.total)


class Halving(Batch):
    """Successive halving: of those that are left, one in so many goes on to so many times the questions.

    Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", 2016.

    Args:
        goals: What is optimised.
        total: How many questions a trial has in all.
        kept: See `Batch`.
        reduction_factor: One in so many goes on.
    """

    def __init__(
        self, goals: Goals, total: int, kept: Collection[int] = (), *, reduction_factor: Annotated[float, Gt(1)] = 2.0
    ) -> None:
        super().__init__(goals, total, kept)
        rungs = [total / reduction_factor**power for power in range(4, 0, -1)]
        # With few questions, none is dropped on fewer than an eighth of them.
        self._rungs = [rung for rung in rungs if total >= 100 or rung >= total / 8]
        self._factor = reduction_factor
        self._passed = 0

    def is_look(self, count: int) -> bool:
        """See `Batch.is_look`: at the first block that reaches the next rung."""
        return self._passed < len(self._rungs) and count >= self._rungs[self._passed]

    def behind(self, numbers: Sequence[int]) -> dict[int, str]:
        """See `Batch.behind`."""
        self._passed = sum(rung <= self.count(numbers[0]) for rung in self._rungs)
        return self.beyond_cap(numbers, self._factor**-self._passed)
