"""What a search returns: one result a configuration, best first."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class RunResult(BaseModel):
    """The result of one configuration; the first three fields are those of LlamaIndex's ``RunResult``.

    Attributes:
        score: The value of the metric that is optimised.
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
    questions: dict[str, dict[str, float]] = Field(default_factory=dict)
    trial: int | None = None
    seconds: float | None = None
    names: dict[str, str] = Field(default_factory=dict)

    @property
    def shown(self) -> dict[str, Any]:
        """The configuration with names in place of objects."""
        return {**self.params, **self.names}


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
        lines = [line for line in self.error.splitlines() if line.strip()]
        frames = [number for number, line in enumerate(lines) if line.startswith("  File ")]
        after = lines[frames[-1] + 1 :] if frames else lines[-1:]
        return next((line.strip() for line in after if not line.startswith(" ")), "unknown error")


class TunedResult(BaseModel):
    """The results of a search; the first two fields and the property are those of LlamaIndex's ``TunedResult``.

    Attributes:
        run_results: One result for each configuration that could be scored, best first.
        best_idx: The position of the best in `run_results`.
        failed: The configurations that could not be scored.
        default: The result of the default configuration, where one was run.
        default_failed: The default configuration in place of that, where it could not be scored.
        run: The path of the run folder, where there is one.
        seconds: How long the search took, Ray's start apart.
        stopped: Why the search ended, if not by having run all it was asked to.
        interrupted: Whether it was ended by Ctrl-C.
        notes: Remarks on the run, e.g. how many texts were longer than a model's window.
    """

    run_results: list[RunResult]
    best_idx: int
    failed: list[FailedTrial] = Field(default_factory=list)
    default: RunResult | None = None
    default_failed: FailedTrial | None = None
    run: str | None = None
    seconds: float | None = None
    stopped: str | None = None
    interrupted: bool = False
    notes: list[str] = Field(default_factory=list)

    @property
    def best_run_result(self) -> RunResult:
        """The best configuration and its score."""
        return self.run_results[self.best_idx]

    def _repr_html_(self) -> str:
        """The best configurations as a table, which notebooks show."""
        from raytuner.report import as_html

        return as_html(self)
