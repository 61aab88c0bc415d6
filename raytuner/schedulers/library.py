"""Rules of libraries: Ray's asynchronous successive halving and median, and Optuna's Wilcoxon."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Annotated, Any, NamedTuple

from annotated_types import Ge, Gt, Lt

from raytuner.goals import Goals
from raytuner.schedulers.rule import Rule
from raytuner.search.quiet import quiet
from raytuner.values import Values

QUESTIONS = "questions"
LOSS = "loss"
UNKNOWN_TOTAL = 1_000_000
"""Stands for the number of questions where it is not known: more than there are."""


class RayTrial(NamedTuple):
    """What Ray's schedulers ask of a trial."""

    trial_id: str


class RayRule(Rule):
    """One of Ray's schedulers, which is told the mean after each block.

    Args:
        goals: What is optimised; one metric.
        total: See `Rule`.
        kept: See `Rule`.
        scheduler: Ray's, over `QUESTIONS` and `LOSS`.
        name: What it is called in reasons.
    """

    def __init__(self, goals: Goals, total: int | None, kept: Collection[int], *, scheduler: Any, name: str) -> None:
        super().__init__(goals, total, kept)
        self._scheduler = scheduler
        self._name = name
        self._told_to_stop: set[int] = set()

    def begin(self, number: int) -> None:
        """See `Rule.begin`."""
        super().begin(number)
        self._scheduler.on_trial_add(None, RayTrial(str(number)))

    def end(self, number: int, *, failed: bool = False) -> None:
        """See `Rule.end`."""
        known = self.count(number) and not math.isnan(self.means(number)[0])
        if not failed and known and number not in self._told_to_stop:
            self._scheduler.on_trial_complete(None, RayTrial(str(number)), self._result(number))
        super().end(number, failed=failed)

    def stops(self, number: int, values: Values) -> str | None:
        """See `Rule.stops`."""
        if number in self._told_to_stop:  # one that is never stopped; Ray's would not take more of it
            return None
        if math.isnan(self.means(number)[0]):
            return None  # the library would keep it as the trial's best
        decision = self._scheduler.on_trial_result(None, RayTrial(str(number)), self._result(number))
        if decision != "STOP":
            return None
        self._told_to_stop.add(number)
        return f"behind by {self._name}, on {self.count(number)} questions"

    def _result(self, number: int) -> dict[str, Any]:
        return {QUESTIONS: self.count(number), LOSS: float(self.means(number)[0])}


def asha(
    goals: Goals, total: int | None, kept: Collection[int], *, reduction_factor: Annotated[float, Gt(1)] = 3.0
) -> Rule:
    """Asynchronous successive halving (Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020).

    Args:
        goals: What is optimised; one metric.
        total: See `Rule`.
        kept: See `Rule`.
        reduction_factor: At each rung one in so many goes on; each rung has so many times the questions of the last.
    """
    from ray.tune.schedulers import AsyncHyperBandScheduler

    most = total or UNKNOWN_TOTAL
    first = 16 if total is None else math.ceil(total / 8 if total < 100 else max(total / 27, 100 / 8))
    scheduler = AsyncHyperBandScheduler(
        QUESTIONS, LOSS, "min", max_t=most, grace_period=min(first, most), reduction_factor=reduction_factor
    )
    return RayRule(goals, total, kept, scheduler=scheduler, name="asha")


def median(
    goals: Goals,
    total: int | None,
    kept: Collection[int],
    *,
    first: Annotated[int, Ge(1)] = 16,
    min_samples_required: Annotated[int, Ge(1)] = 3,
) -> Rule:
    """The median rule (Golovin et al., "Google Vizier", 2017): worse at its best than the median of the others' means.

    Args:
        goals: What is optimised; one metric.
        total: See `Rule`.
        kept: See `Rule`.
        first: So many questions a trial is evaluated on before it is compared.
        min_samples_required: So many other trials have to be known.
    """
    from ray.tune.schedulers import MedianStoppingRule

    scheduler = MedianStoppingRule(
        QUESTIONS,
        LOSS,
        "min",
        grace_period=first,
        min_samples_required=min_samples_required,
        min_time_slice=math.inf,  # a trial never waits for others
        hard_stop=True,
    )
    return RayRule(goals, total, kept, scheduler=scheduler, name="median")


class Wilcoxon(Rule):
    """Optuna's pruner by Wilcoxon's signed-rank test against the best trial.

    It compares ranks, which for means of skewed scores is the wrong question; use it to compare.

    Args:
        goals: What is optimised; one metric.
        total: See `Rule`.
        kept: See `Rule`.
        first: So many questions a trial is evaluated on before it is compared.
        p_threshold: A trial is stopped below this p-value.
    """

    def __init__(
        self,
        goals: Goals,
        total: int | None = None,
        kept: Collection[int] = (),
        *,
        first: Annotated[int, Ge(1)] = 16,
        p_threshold: Annotated[float, Gt(0), Lt(1)] = 0.1,
    ) -> None:
        import optuna

        super().__init__(goals, total, kept)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with quiet():
            pruner = optuna.pruners.WilcoxonPruner(p_threshold=p_threshold, n_startup_steps=first)
            self._study = optuna.create_study(pruner=pruner)
        self._trials: dict[int, Any] = {}
        self._steps: dict[str, int] = {}  # question -> its number, the same for all trials

    def begin(self, number: int) -> None:
        """See `Rule.begin`."""
        super().begin(number)
        self._trials[number] = self._study.ask()

    def stops(self, number: int, values: Values) -> str | None:
        """See `Rule.stops`."""
        count = self.count(number)
        for question, (loss,) in zip(values, self.losses(number)[count - len(values) :], strict=True):
            if not math.isnan(loss):
                self._trials[number].report(float(loss), self._steps.setdefault(question, len(self._steps)))
        with quiet():  # it warns of questions that only one of the two has
            is_behind = self._trials[number].should_prune()
        if not is_behind:
            return None
        return f"behind by Wilcoxon's test, on {self.count(number)} questions"

    def end(self, number: int, *, failed: bool = False) -> None:
        """See `Rule.end`."""
        from optuna.trial import TrialState

        super().end(number, failed=failed)
        trial = self._trials[number]
        if failed:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            self._study.tell(trial, float(self.means(number)[0]))
