"""What decides, block by block, whether a trial goes on."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from raytuner.goals import Goals
from raytuner.schedulers.compare import Losses
from raytuner.trial_log import values_of
from raytuner.values import Values


class Rule(ABC):
    """Decides after each block of questions whether a trial goes on.

    It knows nothing of Ray: the driver hands it what trials report, a replay what they once did.

    Args:
        goals: What is optimised.
        total: How many questions a trial has in all; None if it is not known before one has ended.
        kept: The numbers of trials that are never stopped.
    """

    def __init__(self, goals: Goals, total: int | None = None, kept: Collection[int] = ()) -> None:
        self.goals = goals
        self.total = total
        self.running: set[int] = set()
        self.finished: set[int] = set()
        self._kept = kept
        self._questions: dict[int, list[str]] = {}  # of each trial, in the order of the rows of its losses
        self._losses: dict[int, Losses] = {}

    def begin(self, number: int) -> None:
        """A trial begins, or begins again."""
        self.running.add(number)
        self._questions[number], self._losses[number] = [], np.empty((0, len(self.goals)))

    def block(self, number: int, values: Values) -> str | None:
        """A trial has reported a block.

        Args:
            number: That of the trial.
            values: For each question its value by metric.

        Returns:
            Why the trial is stopped, or None if it goes on.
        """
        rows = [[goal.loss(row.get(goal.metric, math.nan)) for goal in self.goals] for row in values.values()]
        self._questions[number] += values
        self._losses[number] = np.concatenate([self._losses[number], rows])
        reason = self.stops(number, values)
        if number in self._kept or (self.total is not None and self.count(number) >= self.total):
            return None  # and there is nothing left to save of one that is complete
        if reason is not None:
            self.running.discard(number)
        return reason

    def end(self, number: int, *, failed: bool = False) -> None:
        """A trial has ended by itself."""
        self.running.discard(number)
        if not failed:
            self.finished.add(number)
            self.total = max(self.total or 0, self.count(number))

    def restore(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Go through the log of a search that did not end, so that what was known is known again.

        Args:
            rows: Those of ``log.jsonl``, in their order; see `raytuner.trial_log.read_log`.
        """
        for row in rows:
            number: int = row["trial"]
            if row["kind"] == "start":
                self.begin(number)
            elif row["kind"] == "block":
                if number not in self._questions:
                    self.begin(number)
                self.block(number, values_of(row))
                self.running.add(number)  # whatever the rule says now: if it was stopped, that is in the log
            elif row["kind"] == "trial" and row.get("stopped") is not None:
                self.running.discard(number)
            elif row["kind"] == "trial" and number in self._questions:
                self.end(number, failed=row["error"] is not None)

    @abstractmethod
    def stops(self, number: int, values: Values) -> str | None:
        """Why a trial should be stopped after this block, or None if it should go on; asked of every block."""

    def told(self, number: int) -> Mapping[str, float]:
        """What the search algorithm is told of a trial that was stopped, by metric.

        That is what it would have scored by its mean difference to the best finished trial on the questions that both
        have: its means so far are of other questions than the means that they would be compared with. Before any
        trial has finished, there is nothing else.
        """
        best = min(sorted(self.finished), key=lambda one: self.means(one)[0], default=None)
        if best is not None:
            mine, theirs = self.shared(number, best)
            if len(mine):
                return self.values(self.means(best) + (mine - theirs).mean(axis=0))
        return self.values(self.means(number))

    def count(self, number: int) -> int:
        """On how many questions a trial was evaluated."""
        return len(self._losses[number])

    def failed(self, number: int) -> int:
        """How many of them could not be scored."""
        return int(np.isnan(self._losses[number]).all(axis=1).sum()) if number in self._losses else 0

    def losses(self, number: int) -> Losses:
        """What is known of a trial, in the order of its questions; NaN for what is not."""
        return self._losses[number]

    def means(self, number: int) -> Losses:
        """The mean loss of a trial in each objective, of the questions for which it is known; NaN if it is for none."""
        known = [column[~np.isnan(column)] for column in self.losses(number).T]
        return np.array([column.mean() if len(column) else math.nan for column in known])

    def shared(self, number: int, other: int) -> tuple[Losses, Losses]:
        """What is known of two trials on the questions that both have, those without a number in either left out."""
        mine, theirs = self._questions[number], self._questions[other]
        most = min(len(mine), len(theirs))
        if mine[:most] == theirs[:most]:  # as where all come in the same order; this is asked after each block
            first, second = self.losses(number)[:most], self.losses(other)[:most]
        else:
            rows = {question: row for row, question in enumerate(theirs)}
            at = [(row, rows[question]) for row, question in enumerate(mine) if question in rows]
            pairs = np.asarray(at, dtype=int).reshape(-1, 2)
            first, second = self.losses(number)[pairs[:, 0]], self.losses(other)[pairs[:, 1]]
        known = ~np.isnan(first - second).any(axis=1)
        return first[known], second[known]

    def values(self, losses: Losses) -> dict[str, float]:
        """Losses as values of the metrics."""
        return {goal.metric: goal.loss(float(loss)) for goal, loss in zip(self.goals, losses, strict=True)}


class Fifo(Rule):
    """Lets every trial run to its end."""

    def stops(self, number: int, values: Values) -> str | None:
        """See `Rule.stops`."""
        return None
