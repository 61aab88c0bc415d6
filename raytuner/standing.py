"""Which of several results are the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from raytuner.goals import Goals


class Standing(NamedTuple):
    """How results stand to each other, each by its position.

    Attributes:
        order: All of them, best first: the knee, the others on the Pareto front, those that are dominated, and those
            beyond a limit.
        front: The Pareto front of those within the limits, by the first objective, best first.
        knee: That of the front; for one objective the best. None if nothing is within the limits.
        beyond: Those beyond a limit, the nearest to it first.
    """

    order: list[int]
    front: list[int]
    knee: int | None
    beyond: list[int]


def standing(goals: Goals, results: Sequence[Mapping[str, float]]) -> Standing:
    """Compare results.

    Args:
        goals: The objectives.
        results: The metrics of each result. One that lacks a metric is no better than any other.
    """
    from raytuner.stats import knee, pareto_front

    values = [[result.get(goal.metric, math.nan) for goal in goals] for result in results]
    losses = [
        tuple(math.inf if math.isnan(value) else goal.loss(value) for goal, value in zip(goals, row, strict=True))
        for row in values
    ]
    excess = [sum(goal.excess(value) for goal, value in zip(goals, row, strict=True)) for row in values]
    beyond = sorted((at for at, far in enumerate(excess) if far), key=lambda at: (excess[at], losses[at]))
    within = [at for at, far in enumerate(excess) if not far]
    modes = [goal.mode or "max" for goal in goals]
    front = [within[at] for at in pareto_front([values[at] for at in within], modes)]
    front.sort(key=lambda at: losses[at])
    best = front[knee([values[at] for at in front], modes)] if front else None
    ahead = {*front}
    dominated = sorted((at for at in within if at not in ahead), key=lambda at: losses[at])
    chosen = [] if best is None else [best]
    return Standing([*chosen, *(at for at in front if at != best), *dominated, *beyond], front, best, beyond)
