"""What a search algorithm is made for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from raytuner.goals import Goals
from raytuner.space import Params, Raw, SearchSpace

Work = Callable[[Params], Mapping[str, float]]
"""From a configuration to what it needs that others may share: for each key about the seconds that making it takes."""


class Evaluated(NamedTuple):
    """A configuration that an earlier search has evaluated.

    Attributes:
        raw: As a raw sample.
        values: By metric.
    """

    raw: Raw
    values: dict[str, float]


MAX_SEED = 2**32 - 1
"""The greatest seed; NumPy takes no greater one."""


@dataclass(frozen=True)
class Task:
    """One search, as an algorithm sees it.

    Attributes:
        space: The search space; algorithms suggest raw samples of it.
        metric: The value to optimise.
        mode: ``max`` or ``min``.
        seed: Fixes what is drawn at random.
        points: Raw samples to suggest before all others.
        trials: The most configurations that will be evaluated; None if that is not known.
        goals: What is optimised, if that is several metrics or there are limits; `metric` is that of the first. Only
            algorithms that can model several objectives are given them.
        work: What work a configuration needs; None if nothing is known of it.
    """

    space: SearchSpace
    metric: str
    mode: str
    seed: int = 0
    points: Sequence[Raw] = ()
    trials: int | None = None
    goals: Goals = ()
    work: Work | None = None
