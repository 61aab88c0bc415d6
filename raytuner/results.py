"""What a search returns: one result a configuration, best first."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WrapValidator

from raytuner.confirm import Confirmation, Difference, HeldOut
from raytuner.cost import Cost
from raytuner.failed_questions import Failures, failed_questions
from raytuner.goals import Goal
from raytuner.standing import Standing, standing
from raytuner.values import FailedQuestion, failures

if TYPE_CHECKING:
    from raytuner.page.notebook import Plot
    from raytuner.robustness import Robustness


def _as_it_is(value: Any, validate: Callable[[Any], dict[str, float]]) -> dict[str, float]:
    return value if isinstance(value, FailedQuestion) else validate(value)


Row = Annotated[dict[str, float], WrapValidator(_as_it_is)]
"""The values of a question by metric; a `FailedQuestion` stays one."""


class RunResult(BaseModel):
    """The result of one configuration; the first three fields are those of LlamaIndex's ``RunResult``.

    Attributes:
        score: The value of the metric that is optimised, of several the first.
        params: The configuration, the fixed parameters included.
        metadata: Whatever the objective returned beside numbers.
        metrics: All numbers the objective reported, means over the questions.
        questions: For each question id its values by metric; empty for objectives without questions.
        trial: The number of the trial, from 1.
        seconds: How long the trial took.
        names: What stands for parameters that are objects in the log and in tables.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    score: float
    params: dict[str, Any]
    metadata: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)
    questions: dict[str, Row] = Field(default_factory=dict)
    trial: int | None = None
    seconds: float | None = None
    names: dict[str, str] = Field(default_factory=dict)

    @property
    def shown(self) -> dict[str, Any]:
        """The configuration with names in place of objects."""
        return {**self.params, **self.names}

    @property
    def latency(self) -> dict[str, float] | None:
        """Seconds from a question to the answer of an LLM, ``p50`` and ``p95`` over the questions; None without one.

        They are those of the real calls, also where an answer came from the cache.
        """
        from raytuner.stats import quantile

        known = [row["latency"] for row in self.questions.values() if "latency" in row]
        return {"p50": quantile(known, 0.5), "p95": quantile(known, 0.95)} if known else None

    @property
    def failed_questions(self) -> dict[str, str]:
        """The questions that could not be scored, and why; they are left out of the means."""
        return failures(self.questions)


class StoppedTrial(RunResult):
    """A configuration that was stopped before all questions were evaluated; its values are of those that were.

    Attributes:
        reason: Why it was stopped.
        told: What the search algorithm was told of it in place of its means, by metric.
    """

    reason: str
    told: dict[str, float] = Field(default_factory=dict)


class FailedTrial(BaseModel):
    """A configuration that could not be scored.

    Attributes:
        params: The configuration, the fixed parameters included.
        error: The traceback.
        trial: The number of the trial, from 1.
        seconds: How long it ran.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    params: dict[str, Any]
    error: str
    trial: int | None = None
    seconds: float | None = None

    @property
    def summary(self) -> str:
        """The exception and the first line of its message, out of the traceback."""
        return summary_of(self.error)


def summary_of(error: str) -> str:
    """The exception and the first line of its message, out of a traceback."""
    lines = [line for line in error.splitlines() if line.strip()]
    frames = [number for number, line in enumerate(lines) if line.startswith("  File ")]
    after = lines[frames[-1] + 1 :] if frames else lines[-1:]
    return next((line.strip() for line in after if not line.startswith(" ")), "unknown error")


class TunedResult(BaseModel):
    """The results of a search; the first two fields and the property are those of LlamaIndex's ``TunedResult``.

    Attributes:
        run_results: One result for each configuration that could be scored, best first: of several objectives the knee,
            the rest of the Pareto front, those that are dominated, and those beyond a limit.
        best_idx: The position of the best in `run_results`.
        failed: The configurations that could not be scored.
        stopped: The configurations that were stopped since they would hardly win.
        default: The result of the default configuration, where one was run.
        default_failed: The default configuration in place of that, where it could not be scored.
        run: The path of the run folder, where there is one.
        seconds: How long the search took, Ray's start apart.
        ended: Why the search ended, if not by having run all it was asked to.
        interrupted: Whether it was ended by Ctrl-C.
        notes: Remarks on the run, e.g. how many texts were longer than a model's window.
        objectives: What was optimised: metrics, modes and limits.
        confirmation: What the held-out questions say, where there are any.
        documents: The document of each question, where that is known.
        cost: What the calls of services took; None without any.
    """

    run_results: list[RunResult]
    best_idx: int
    failed: list[FailedTrial] = Field(default_factory=list)
    stopped: list[StoppedTrial] = Field(default_factory=list)
    default: RunResult | None = None
    default_failed: FailedTrial | None = None
    run: str | None = None
    seconds: float | None = None
    ended: str | None = None
    interrupted: bool = False
    notes: list[str] = Field(default_factory=list)
    objectives: list[Goal] = Field(default_factory=list)
    confirmation: Confirmation | None = None
    documents: dict[str, str] = Field(default_factory=dict)
    cost: Cost | None = None

    @property
    def best(self) -> RunResult:
        """The configuration to take: of those that held-out questions cannot tell apart from the best the cheapest.

        Without held-out questions it is `best_run_result`.
        """
        return self.ties[0]

    @property
    def ties(self) -> list[RunResult]:
        """The configurations that held-out questions cannot tell apart from the best on them, cheapest first."""
        if self.confirmation is None:
            return [self.best_run_result]
        known = {result.trial: result for result in self.run_results}
        return [known[number] for number in self.confirmation.ties]

    @property
    def held_out(self) -> HeldOut | None:
        """`best` on the held-out questions."""
        return None if self.confirmation is None else self.confirmation.of(self.confirmation.ties[0])

    @property
    def versus_default(self) -> Difference | None:
        """By how much `best` is better than the default configuration on the held-out questions."""
        return None if self.held_out is None else self.held_out.versus_default

    @property
    def robustness(self) -> Robustness | None:
        """How much `best_run_result` depends on which questions there were; None for several objectives."""
        from raytuner.robustness import robustness

        return robustness(self.objectives[0], self.run_results, self.documents) if len(self.objectives) == 1 else None

    @property
    def best_run_result(self) -> RunResult:
        """The configuration with the best score in the search; for several objectives the knee of the Pareto front."""
        return self.run_results[self.best_idx]

    @property
    def trials(self) -> int:
        """How many configurations were tried."""
        return len(self.run_results) + len(self.stopped) + len(self.failed)

    @property
    def failed_questions(self) -> dict[str, Failures]:
        """The questions that failed in some trial that did not itself fail, those that failed most often first."""
        return failed_questions(found.questions for found in (*self.run_results, *self.stopped))

    @property
    def pareto(self) -> list[RunResult]:
        """The configurations that no other one dominates, best in the first objective first.

        Another one would be within the limits, at least as good in all objectives and better in one. For one objective
        they are the best and its equals.
        """
        return [self.run_results[at] for at in self._standing().front]

    @property
    def knee(self) -> RunResult:
        """The best compromise on the Pareto front; see `raytuner.stats.knee`."""
        at = self._standing().knee
        return self.best_run_result if at is None else self.run_results[at]

    @property
    def beyond_limit(self) -> list[RunResult]:
        """The configurations beyond a limit, the nearest to it first; they are never the best."""
        return [self.run_results[at] for at in self._standing().beyond]

    def breaches(self, result: RunResult) -> list[str]:
        """What of a result is beyond a limit, e.g. ``chunk_tokens 1620.0, more than 1500``.

        Args:
            result: One of `run_results`.

        Returns:
            A line for each limit that it breaks; none if it is within all.
        """
        return [said for goal in self.objectives if (said := goal.breach(result.metrics.get(goal.metric, math.nan)))]

    def _standing(self) -> Standing:
        if not self.objectives:  # it was not made by a search
            return Standing([], [self.best_idx], self.best_idx, [])
        return standing(self.objectives, [result.metrics for result in self.run_results])

    def to_dataframe(self) -> Any:
        """All trials as a pandas data frame: a line each, with parameters, metrics, seconds and state.

        Raises:
            UserError: pandas is not installed.
        """
        from raytuner.page.notebook import to_dataframe

        return to_dataframe(self)

    def plot_history(self) -> Plot:
        """The score of each trial and the best so far, as a chart that notebooks show; see `Plot.save`."""
        from raytuner.page.notebook import plots

        return plots(self, "history")

    def plot_importance(self) -> Plot:
        """How much each parameter matters, as a chart that notebooks show.

        Raises:
            UserError: There are too few trials, or all scored the same.
        """
        from raytuner.page.notebook import plots

        return plots(self, "importance")

    def plot_pareto(self) -> Plot:
        """The first two objectives with the Pareto front, as a chart that notebooks show.

        Raises:
            UserError: There is one objective only.
        """
        from raytuner.page.notebook import plots

        return plots(self, "pareto-1")

    def _repr_html_(self) -> str:
        """The best configurations as a table, which notebooks show."""
        from raytuner.report import as_html

        return as_html(self)
