"""What the held-out questions say of the leaders of a search."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from raytuner.goals import Goal
from raytuner.stats import effective_groups, holm, mean_interval, p_above_zero, questions_needed

LEADERS = 5
"""So many of the best configurations are confirmed, beside the default."""
LEVEL = 0.025
"""A difference with a corrected one-sided p-value up to this is more than chance; the interval has as much a side."""

Values = Mapping[str, Mapping[str, float]]  # question -> metric -> value


class Difference(BaseModel):
    """By how much one configuration is better than another on the held-out questions.

    Attributes:
        mean: The mean difference of the first objective, above 0 if it is better.
        low: The lower end of its 95% interval; see `raytuner.stats.mean_interval`.
        high: The upper end.
        p: The one-sided p-value that it is not better, corrected for the number of leaders; see `raytuner.stats.holm`.
        needed: How many held-out questions it would take to tell the two apart, as often as 80%; None if they are
            equal, or too nearly so.
    """

    mean: float
    low: float
    high: float
    p: float
    needed: int | None

    @property
    def is_sure(self) -> bool:
        """Whether it is more than chance."""
        return self.p <= LEVEL


class HeldOut(BaseModel):
    """A configuration on the held-out questions.

    Attributes:
        trial: Its number.
        score: The mean of the first objective.
        metrics: The means of all metrics.
        versus_default: By how much it is better than the default; None for the default itself, or without one.
        behind: By how much the best on these questions is better; None for that one, and for the default.
    """

    trial: int
    score: float
    metrics: dict[str, float]
    versus_default: Difference | None = None
    behind: Difference | None = None


class Confirmation(BaseModel):
    """What the held-out questions say.

    Attributes:
        questions: How many there are that all could be scored on.
        documents: Of how many documents they are; None if that is not known.
        clusters: As how many documents of equally many questions these count; see `raytuner.stats.effective_groups`.
        seen: How many of these documents the search had questions about too.
        results: The leaders and the default, best first.
        ties: The numbers of the leaders that cannot be told apart from the best of them, cheapest first.
    """

    questions: int
    documents: int | None
    clusters: float | None = None
    seen: int = 0
    results: list[HeldOut]
    ties: list[int] = Field(min_length=1)

    @model_validator(mode="after")
    def _ties_have_results(self) -> Confirmation:
        if not set(self.ties) <= {found.trial for found in self.results}:
            raise ValueError("ties without results")
        return self

    def of(self, trial: int) -> HeldOut | None:
        """The result of a trial; None if it was not run on them.

        Args:
            trial: Its number.
        """
        return next((found for found in self.results if found.trial == trial), None)


def confirm(
    goal: Goal,
    values: Mapping[int, Values],
    *,
    chosen: Sequence[int],
    default: int | None,
    documents: Mapping[str, str],
) -> Confirmation | None:
    """Compare the leaders of a search on the held-out questions.

    Args:
        goal: The first objective.
        values: For each leader, and the default, what it scored on each of the held-out questions.
        chosen: The numbers of the leaders, of which there are values; the default may be one of them.
        default: The number of the default configuration.
        documents: The document of each question.

    Returns:
        The comparison; None if there is nothing to compare.
    """
    table = _Table(goal, values, documents)
    if not chosen or not table.questions:
        return None
    leaders = sorted(chosen, key=table.rank)
    compared = [number for number in leaders if number != default]
    versus = {}
    if default is not None and default in values:
        versus = _against(table, {number: (number, default) for number in compared})
    best, *others = leaders
    behind = _against(table, {number: (best, number) for number in others})
    ties = [best, *(number for number in others if not behind[number].is_sure)]
    results = [
        HeldOut(
            trial=number,
            score=goal.loss(table.mean(number)),
            metrics=table.means(number),
            versus_default=versus.get(number),
            behind=behind.get(number),
        )
        for number in sorted(values, key=table.rank)
    ]
    sizes = Counter(table.groups)
    searched = {document for question, document in documents.items() if question not in table.asked}
    return Confirmation(
        questions=len(table.questions),
        documents=len(sizes) if documents else None,
        clusters=effective_groups(list(sizes.values())) if documents else None,
        seen=len(set(sizes) & searched),
        results=results,
        ties=sorted(ties, key=lambda number: (*_cost(table.means(number)), number)),
    )


COSTS = ("chunk_tokens", "latency", "usd")
"""Of those that cannot be told apart the cheapest is taken: by the first of these in which they differ."""


def _cost(means: Mapping[str, float]) -> list[float]:
    return [round(means.get(name, 0.0), 6) for name in COSTS]


class _Table:
    """The losses of the first objective on the questions that all have and that failed for none."""

    def __init__(self, goal: Goal, values: Mapping[int, Values], documents: Mapping[str, str]) -> None:
        self.asked = {question for found in values.values() for question in found}
        shared = [{question for question, row in found.items() if goal.metric in row} for found in values.values()]
        self.questions = sorted(set.intersection(*shared)) if shared else []
        self.groups = [documents[question] for question in self.questions] if documents else []
        self._values = values
        self._losses = {
            number: np.array([goal.loss(found[question][goal.metric]) for question in self.questions])
            for number, found in values.items()
        }

    def mean(self, number: int) -> float:
        return float(self._losses[number].mean())

    def rank(self, number: int) -> tuple[float, int]:
        return self.mean(number), number

    def means(self, number: int) -> dict[str, float]:
        rows = [self._values[number][question] for question in self.questions]
        names = [name for name in rows[0] if all(name in row for row in rows)]
        return {name: math.fsum(row[name] for row in rows) / len(rows) for name in names}

    def better(self, one: int, other: int) -> NDArray[np.float64]:
        """By how much one is better on each question."""
        difference: NDArray[np.float64] = self._losses[other] - self._losses[one]
        return difference


def _against(table: _Table, pairs: Mapping[int, Sequence[int]]) -> dict[int, Difference]:
    """For each pair by how much the first is better, with p-values corrected for the number of pairs."""
    found = {number: table.better(one, other) for number, (one, other) in pairs.items()}
    p_values = holm([p_above_zero(better, table.groups) for better in found.values()])
    differences = {}
    for (number, better), p in zip(found.items(), p_values, strict=True):
        interval = mean_interval(better, table.groups)
        differences[number] = Difference(
            mean=float(better.mean()),
            low=interval.low,
            high=interval.high,
            p=p,
            needed=questions_needed(better, table.groups, level=LEVEL / len(found)),
        )
    return differences
