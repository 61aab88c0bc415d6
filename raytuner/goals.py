"""What a search is for: one or several metrics, which way is better, and how far they may go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from raytuner.errors import ConfigError, quoted

Mode = Literal["max", "min"]


class Goal(BaseModel):
    """One of the objectives of a search.

    Attributes:
        metric: The metric.
        mode: ``max`` or ``min``; by default as the metric is meant, and ``max`` if that is not known.
        limit: The worst value that is allowed: the largest for ``min``, the smallest for ``max``; by default any.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    metric: str
    mode: Mode | None = None
    limit: float | None = Field(default=None, allow_inf_nan=False)

    def loss(self, value: float) -> float:
        """A value of the metric as something to be minimised.

        Args:
            value: The value.
        """
        return value if self.mode == "min" else -value

    def excess(self, value: float) -> float:
        """How far a value is beyond the limit, as a share of the limit; 0 within it, or where there is none.

        Args:
            value: A value of the metric.
        """
        if self.limit is None:
            return 0.0
        return max(0.0, self.loss(value) - self.loss(self.limit)) / (abs(self.limit) or 1.0)

    def breach(self, value: float) -> str | None:
        """What is said of a value beyond the limit; None within it.

        Args:
            value: A value of the metric.
        """
        if not self.excess(value):
            return None
        assert self.limit is not None  # else nothing is beyond it
        found, limit = shown(value), f"{self.limit:g}"
        if float(found) == float(limit) or self.excess(float(found)) == 0:  # rounded, one looks like the other
            found, limit = repr(value), repr(self.limit)
        return f"{self.metric} {found}, {'more' if self.mode == 'min' else 'less'} than {limit}"

    @property
    def bound(self) -> str:
        """The limit as it is said after metric and mode."""
        return "" if self.limit is None else f", {'at most' if self.mode == 'min' else 'at least'} {self.limit:g}"

    def __str__(self) -> str:
        return f"{self.metric}, {self.mode or 'max'}{self.bound}"


Goals = Sequence[Goal]


def shown(value: float) -> str:
    """A value of a metric for a reader: four decimals, fewer for what is no share."""
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def described(goals: Goals) -> str:
    """All goals in one line."""
    return "; ".join(map(str, goals))


def are_plain(goals: Goals) -> bool:
    """Whether it is one metric without a limit, for which every search algorithm is made."""
    return len(goals) == 1 and goals[0].limit is None


def checked(goals: Iterable[Goal]) -> tuple[Goal, ...]:
    """The goals, if they make sense together.

    Raises:
        ConfigError: There is none, or a metric is named twice.
    """
    found = tuple(goals)
    names = [goal.metric for goal in found]
    if not found:
        raise ConfigError("objectives is empty; name at least one, e.g. {metric: span_recall}")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"objectives: {quoted(name)} is there twice; name each metric once")
    return found


def with_modes(goals: Goals, own: Mapping[str, Mode]) -> tuple[Goal, ...]:
    """The goals, each with a mode.

    Args:
        goals: The goals.
        own: Which way is better, by metric, for those that know it; ``max`` for others.
    """
    return tuple(goal.model_copy(update={"mode": goal.mode or own.get(goal.metric, "max")}) for goal in checked(goals))
