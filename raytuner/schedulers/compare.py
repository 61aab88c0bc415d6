"""Whether a trial is surely behind another one, or beyond a limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from raytuner.goals import Goal, Goals
from raytuner.stats import moderated_t

Losses = NDArray[np.float64]
"""What is to be minimised: a row for each question, a column for each objective."""


@dataclass(frozen=True)
class Test:
    """One-sided tests of means.

    Attributes:
        level: The level of a test: in so many of the comparisons of two that are equal, one is held to be behind.
        weight: So many questions the usual deviation counts for; see `raytuner.stats.moderated_t`.
        first: So many questions have to be known.
    """

    level: float
    weight: float
    first: int

    def is_behind(self, differences: Losses, usual: Losses, population: int | None) -> bool:
        """Whether losses are surely higher than another trial's in all objectives in which the two differ at all.

        Being significant in each it is so in all together (Berger, "Multiparameter hypothesis testing and acceptance
        sampling", Technometrics 24, 1982).

        Args:
            differences: Losses minus the other trial's: a row for each shared question.
            usual: For each objective the usual standard deviation of such differences.
            population: How many questions there are in all.
        """
        if len(differences) < self.first:
            return False
        differ = differences.any(axis=0)
        t = moderated_t(differences.T, deviation=usual, weight=self.weight, population=population)
        return bool(differ.any() and (t[differ] > self._critical(len(differences))).all())

    def beyond(self, goals: Goals, losses: Losses, population: int | None) -> str | None:
        """What of a trial is surely beyond a limit.

        Args:
            goals: The objectives.
            losses: A row for each question; NaN for what is not known.
            population: How many questions there are in all.
        """
        for goal, column in zip(goals, losses.T, strict=True):
            known = column[~np.isnan(column)]
            if len(known) >= self.first and self._is_beyond(goal, known, population):
                return f"{goal.breach(goal.loss(known.mean()))}, on {len(known)} questions"
        return None

    def _is_beyond(self, goal: Goal, known: Losses, population: int | None) -> bool:
        if goal.limit is None:
            return False
        t = moderated_t(known - goal.loss(goal.limit), deviation=0, weight=0, population=population)
        return bool(t[0] > self._critical(len(known)))

    def _critical(self, questions: int) -> float:
        return float(-stdtrit(questions - 1, self.level))
