"""Schedulers by their names, and their options."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from raytuner.errors import ConfigError, nearest, quoted
from raytuner.given_options import check, parameters
from raytuner.goals import Goals, are_plain
from raytuner.schedulers.batch import Batch, BatchRace, Halving
from raytuner.schedulers.library import Wilcoxon, asha, median
from raytuner.schedulers.race import Race
from raytuner.schedulers.rule import Fifo, Rule


@dataclass(frozen=True)
class Scheduler:
    """One scheduler.

    Attributes:
        name: What ``--scheduler`` takes.
        summary: What it does, in a clause.
        make: Makes the rule from goals, total and kept; its keyword-only parameters are the options.
        several: Whether it takes several objectives, and limits.
        at_once: The same for all configurations at once, if it can; it may have further options.
    """

    name: str
    summary: str
    make: Callable[..., Rule]
    several: bool = False
    at_once: Callable[..., Batch] | None = None

    @property
    def only_at_once(self) -> bool:
        """Whether it compares all configurations at once only."""
        return self.make is self.at_once


FIFO, RACING = "fifo", "racing"
FEWEST = 20
"""With fewer questions than this, a race would be decided by chance."""

SCHEDULERS: dict[str, Scheduler] = {
    found.name: found
    for found in (
        Scheduler(FIFO, "every trial runs to its end", Fifo, several=True),
        Scheduler(
            "racing", "stops what is surely behind the best, by a paired t test", Race, several=True, at_once=BatchRace
        ),
        Scheduler(
            "halving", "successive halving of all configurations at once", Halving, several=True, at_once=Halving
        ),
        Scheduler("asha", "asynchronous successive halving of Ray Tune", asha),
        Scheduler("median", "Ray Tune's rule: worse than the median of the others", median),
        Scheduler("wilcoxon", "Optuna's pruner: a signed-rank test against the best", Wilcoxon),
    )
}
"""All there are; `fifo` first."""


def check_scheduler(name: str, options: Mapping[str, Any], goals: Goals = ()) -> Scheduler:
    """A scheduler, if there is one of this name that takes these options.

    Raises:
        ConfigError: There is none, it has no such option, or it compares one metric only.
    """
    if name not in SCHEDULERS:
        raise ConfigError(f"scheduler {quoted(name)} is unknown; {nearest(name, SCHEDULERS)}")
    found = SCHEDULERS[name]
    check(f"scheduler {name!r}", options, found.make, *([found.at_once] if found.at_once else []))
    if goals and not found.several and not are_plain(goals):
        able = " or ".join(other.name for other in SCHEDULERS.values() if other.several)
        raise ConfigError(f"scheduler {name!r} compares one metric without a limit; use {able}")
    return found


def check_one_by_one(name: str) -> None:
    """Refuse a scheduler that needs all configurations at once where they cannot be.

    Raises:
        ConfigError: It is one.
    """
    if SCHEDULERS[name].only_at_once:
        raise ConfigError(
            f"scheduler {name!r} compares all configurations at once: it needs a search that does not learn (grid, "
            "random or sobol), a RAG pipeline and no budget but of trials; use racing"
        )


def make_rule(
    name: str,
    goals: Goals,
    total: int | None = None,
    kept: Collection[int] = (),
    options: Mapping[str, Any] | None = None,
    *,
    at_once: bool = False,
) -> Rule:
    """The rule of a scheduler.

    Args:
        name: Its name.
        goals: What is optimised, each with its mode.
        total: How many questions a trial has in all, if that is known.
        kept: The numbers of trials that are never stopped.
        options: Its options.
        at_once: Whether all configurations race at once, if the scheduler can do that.

    Raises:
        ConfigError: It can only do that, or see `check_scheduler`.
    """
    found = check_scheduler(name, options or {}, goals)
    if not at_once:
        check_one_by_one(name)
    make = found.at_once if at_once and found.at_once is not None else found.make
    taken = parameters(make)
    return make(goals, total, kept, **{key: value for key, value in (options or {}).items() if key in taken})
