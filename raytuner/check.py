"""The regression gate: the chosen configuration of a run, scored anew on today's documents and questions."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, Field

from raytuner.calls import calling
from raytuner.calls.handle import LocalHandle
from raytuner.calls.ledger import Ledger
from raytuner.compare_runs import Comparison, compare, ids, is_same
from raytuner.components import begin_run, is_dotted
from raytuner.config import TuneConfig
from raytuner.config_sections import SearchConfig
from raytuner.cost import Cost, cost_of
from raytuner.cost import said as said_of_cost
from raytuner.data_hashes import asked_of
from raytuner.errors import ConfigError, DataError
from raytuner.objective import Objective
from raytuner.pipeline.cache import Stored, share_with
from raytuner.plan import Plan, make_plan
from raytuner.scored_run import Scored
from raytuner.storage import Storage
from raytuner.store.remote import Remote
from raytuner.values import Values, failures
from raytuner.weighting import WEIGHTED

TODAY = "today"
MAX_DROP = 0.02
LEAST_COMMON = 0.5
"""So large a share of the questions, the baseline's and today's, has to be common to both."""


class Check(BaseModel):
    """What came of a check; as text it says what a reader has to know.

    It fails if the metric is worse by more than is allowed and the drop is more than chance: the whole 95% interval
    of the difference is below 0, and so says the test (one-sided, 2.5%). So without a drop one check in 40 fails at the
    most, whatever is allowed. It also fails if a question that the baseline has a score of cannot be scored today:
    it is left out of the comparison, which then says nothing of it.

    Attributes:
        comparison: Of the baseline with today.
        max_drop: How far the metric may drop.
        seconds: How long scoring took.
        cost: What the calls of services took; None without any.
        failed: The questions that the baseline has a score of and that cannot be scored today, and why.
    """

    comparison: Comparison
    max_drop: float
    seconds: float
    cost: Cost | None
    failed: dict[str, str] = Field(default_factory=dict)

    @property
    def drop(self) -> float:
        """By how much the metric is worse today; 0 if it is not."""
        return max(0.0, -self.comparison.deciding.difference.mean)

    @property
    def passed(self) -> bool:
        """Whether all can be scored, and there is no drop, or one that is allowed, or that may be chance."""
        return not self.failed and self._holds

    @property
    def _holds(self) -> bool:
        return self.drop <= self.max_drop or self.comparison.deciding.verdict != "worse"

    def as_json(self) -> dict[str, Any]:
        """The object that ``--json`` prints: the fields, without the calls' details, and ``passed`` and ``drop``."""
        cost = None if self.cost is None else self.cost.total.model_dump(exclude={"model", "stage"})
        found = {"passed": self.passed, "drop": self.drop, "max_drop": self.max_drop, "failed": self.failed}
        return {**found, "comparison": self.comparison.as_json(), "seconds": round(self.seconds, 2), "cost": cost}

    def __str__(self) -> str:
        lines = [str(self.comparison), ""]
        lines += [] if self.cost is None else said_of_cost(self.cost)
        if self.failed:
            name, reason = next(iter(self.failed.items()))
            many = f"{len(self.failed)} question{'s' * (len(self.failed) != 1)}"
            lines.append(f"failed: {many} of the baseline's cannot be scored today; {name!r}: {reason}")
        if self._holds and self.failed:
            return "\n".join([*lines, f"of the others {self._why()}"])
        return "\n".join([*lines, f"{'passed' if self._holds else 'failed'}: {self._why()}"])

    def _why(self) -> str:
        own, verdict = self.comparison, self.comparison.deciding.verdict
        if not self.drop:
            return f"{own.metric} has not dropped"
        size = f"{own.metric} has dropped by {self.drop:.4f}"
        allowed = f"{'more than' if self.drop > self.max_drop else 'within'} the {self.max_drop:g} allowed"
        return f"{size}, {allowed}, and that {'is more than' if verdict == 'worse' else 'may be'} chance"


def check(config: TuneConfig, baseline: Scored, *, max_drop: float = MAX_DROP) -> Check:
    """Score a run's configuration on today's documents and questions, and compare it with what it scored in the run.

    Ray is not used. What the config names by dotted paths is imported.

    Args:
        config: With today's documents and questions. Parameters that its ``pipeline`` fixes are its own, all others
            those of the baseline; what to optimise is the baseline's, unless it says the same itself.
        baseline: From `raytuner.scored_run.scored`.
        max_drop: How far the metric may drop, in its own unit.

    Raises:
        UserError: Something in the config is wrong, the baseline is for another metric, or has other questions.
        TrialError: Too many questions fail.
        BudgetUsedUpError: The config's budget ended before all questions were scored.
    """
    begin_run()
    plan = make_plan(as_checked(config, baseline), imports=True)
    before = baseline._replace(
        params={**(baseline.config.get("pipeline") or {}), **baseline.params},
        questions={**baseline.questions, **baseline.held_out},
        held_out={},
    )
    after = Scored(
        TODAY,
        None,
        plan.objective.fixed,
        plan.goals[0],
        {},
        {},
        getattr(plan.objective, "question_documents", {}),
        asked_of(plan.objective.questions),
        plan.config.settings,
    )
    _check_metric(before, after)
    if plan.config.objective.function is None:
        _check_common(before, after)
    started = time.monotonic()
    with _accounts(plan) as ledger:
        values = _scored_today(plan)
    seconds = time.monotonic() - started
    rows, notes = ledger.take()
    after = after._replace(questions=values, notes=notes)
    _check_common(before, after)
    return Check(
        comparison=compare(before, after),
        max_drop=max_drop,
        seconds=seconds,
        cost=cost_of(rows),
        failed=_failed_today(before, after),
    )


def _failed_today(before: Scored, after: Scored) -> dict[str, str]:
    """The questions that had a value of the metric then and have none today, and why."""
    metric, reasons = before.goal.metric, failures(after.questions)
    return {
        name: reasons.get(name, f"it has no value of {metric}")
        for name, row in after.questions.items()
        if metric not in row and metric in before.questions.get(name, {}) and is_same(name, before, after)
    }


def as_checked(config: TuneConfig, baseline: Scored) -> TuneConfig:
    """The config with the baseline's configuration fixed in it, and without a search.

    Raises:
        ConfigError: The baseline names something by a dotted path that the config does not: it would be imported.
    """
    ours = {**(baseline.config.get("pipeline") or {}), **baseline.params}
    taken = {name: value for name, value in ours.items() if name not in config.pipeline}
    metrics: list[str] = []
    objective, metric = config.objective, baseline.goal.metric
    if config.objectives is None and objective.metric is None and objective.weights is None:
        weights = (baseline.config.get("objective") or {}).get("weights")
        own = {"weights": weights} if metric == WEIGHTED else {"metric": metric, "mode": baseline.goal.mode}
        objective = objective.model_copy(update=own)
        metrics = list(weights or ()) if metric == WEIGHTED else [metric]
    if config.objective.function is None:
        _check_dotted(config, baseline, [*taken.items(), *(("objective", name) for name in metrics)])
    own_search = {name: getattr(config.search, name) for name in ("seed", "max_failed_questions")}
    search = SearchConfig(**own_search, holdout="none", scheduler="fifo")
    pipeline = {**taken, **config.pipeline}
    return config.model_copy(
        update={"pipeline": pipeline, "space": {}, "search": search, "objective": objective, "warm_start": []}
    )


def _check_dotted(config: TuneConfig, baseline: Scored, taken: Iterable[tuple[str, Any]]) -> None:
    named = {*config.components, *config.models, *_choices(config.space)}
    for name, value in taken:
        if is_dotted(value) and value not in named:
            raise ConfigError(
                f"{name}: {baseline.name} has {value!r} by a dotted path, which would be imported, and the config does "
                f"not name it; write it into the config as well if it is yours"
            )


def _choices(space: Mapping[str, Any]) -> Iterator[str]:
    """The texts among the choices of a space."""
    for entry in space.values():
        values = entry.get("choice", entry.get("fixed")) if isinstance(entry, Mapping) else entry
        yield from (value for value in (values if isinstance(values, list) else [values]) if isinstance(value, str))


def _check_metric(before: Scored, after: Scored) -> None:
    if (before.goal.metric, before.goal.mode) != (after.goal.metric, after.goal.mode):
        raise ConfigError(
            f"objective: {before.name} is for {before.goal.metric}, {before.goal.mode}, the config for "
            f"{after.goal.metric}, {after.goal.mode}; leave it out of the config, or name another baseline"
        )


def _check_common(before: Scored, after: Scored) -> None:
    """Refuse a baseline that has too many other questions."""
    then, now = ids(before), ids(after) or set(after.asked)
    same = {name for name in then & now if is_same(name, before, after)}
    if len(same) >= LEAST_COMMON * max(len(then), len(now)):
        return
    reworded = len(then & now) - len(same)
    again = f"; {reworded} more have the same id and another text" if reworded else ""
    raise DataError(
        f"{before.name} has other questions: {len(same)} of its {len(then)} and of today's {len(now)} are common"
        f"{again}; name a baseline on these questions, or make one by raytuner tune"
    )


@contextlib.contextmanager
def _accounts(plan: Plan) -> Iterator[Ledger]:
    """What all calls go through, with the budget of the config, and where artefacts are shared."""
    minutes = plan.config.budget.minutes
    deadline = None if minutes is None else time.time() + 60 * minutes
    ledger, cache = Ledger(replace(plan.budget, deadline=deadline)), plan.config.run.cache
    calling(LocalHandle(ledger))
    share_with(None if cache is None else Stored(Remote(Storage(cache))))
    try:
        yield ledger
    finally:
        calling(None)
        share_with(None)
        ledger.settle_all()


def _scored_today(plan: Plan) -> Values:
    own = plan.objective
    objective = Objective(own, metric=own.metric)
    with plan.config.named_in_errors():
        objective.prepare(plan.space)
        found: Values = {}
        for report in objective.reports({}):
            found |= report.block.values if report.block is not None else {}
    if not found:
        raise DataError("the objective yields no values by question, which a check takes")
    return found
