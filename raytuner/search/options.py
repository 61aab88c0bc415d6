"""How a search is run: the same few settings for the tuners, the command line and the driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from raytuner.calls.budget import Budget
from raytuner.goals import Goal


@dataclass(frozen=True)
class SearchOptions:
    """The settings of one search.

    Attributes:
        algorithm: The name of the search algorithm.
        mode: ``max`` or ``min``.
        trials: The most configurations to evaluate; None is no limit of its own.
        seed: Fixes the sequence of configurations where the algorithm allows it.
        concurrency: The most trials at once; None is as many as fit.
        resources: What each trial may use; None is its share of the CPUs.
        time_budget_s: Seconds after which no more is run, counted from the start of the workers.
        address: A Ray cluster; None and ``local`` start Ray on this machine.
        run_config: Further fields of Ray's ``RunConfig``.
        algorithm_options: Options of the algorithm.
        goals: What is optimised, if that is several metrics or there are limits.
        scheduler: The name of what stops trials early; see `raytuner.schedulers`.
        scheduler_options: Its options.
        budget: What may be used up in calls; its deadline is set when the search begins.
        trial_timeout_s: So many seconds a trial may take before it is ended, and has failed; None is no limit.
        cache: A storage that machines share artefacts in, as a URL; see `raytuner.storage`.
        max_retries: How often a trial goes on in another worker when its own was lost.
    """

    algorithm: str
    mode: str = "max"
    trials: int | None = None
    seed: int = 0
    concurrency: int | None = None
    resources: Mapping[str, float] | None = None
    time_budget_s: float | None = None
    address: str | None = None
    run_config: Mapping[str, Any] | None = None
    algorithm_options: Mapping[str, Any] = field(default_factory=dict)
    goals: Sequence[Goal] = ()
    scheduler: str = "fifo"
    scheduler_options: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget = Budget()  # noqa: RUF009 - it is frozen
    trial_timeout_s: float | None = None
    max_retries: int = 3
    cache: str | None = None

    @property
    def is_bounded(self) -> bool:
        """Whether a budget of time or of calls may end the search before its trials do."""
        return self.time_budget_s is not None or self.budget != Budget()
