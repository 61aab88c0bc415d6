"""The study: every finished question block and trial, in memory and in an append-only log."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from raytuner.cost import Taken
from raytuner.errors import AllTrialsFailedError, InfeasibleError, RaytunerError, UserError, redact
from raytuner.goals import Goal, Goals, are_plain, shown
from raytuner.objective import Block, Report
from raytuner.results import FailedTrial, RunResult, StoppedTrial, TunedResult
from raytuner.run_folder import LOG
from raytuner.so_far import so_far
from raytuner.standing import standing
from raytuner.trial_log import Log
from raytuner.values import Means, failures
from raytuner.why_none import why_none, why_none_within


@dataclass
class Trial:
    """A trial as the driver sees it.

    Attributes:
        number: From 1, in the order of suggestion.
        params: The tuned parameters.
        metrics: Means so far; final once `finished`.
        questions: For each question id its values by metric.
        held_out: The same on the held-out questions, if it was confirmed.
        seconds: How long it took.
        error: The traceback if it failed.
        paused: Whether it waits until the others have come as far.
        next_block: The block that is next.
        held_out_blocks: How many blocks of held-out questions it has answered.
        since: When it began, or went on, in seconds of a monotonic clock.
        went_on: Whether it has gone on since, so that what it reports is of the questions since then.
        finished: Whether it ended by itself, scored or failed, or was stopped.
        stopped: Why it was stopped before all questions were evaluated.
        told: What the search algorithm was told of one that was stopped, by metric.
        metadata: What the objective returned beside numbers.
        returned_params: The parameters in a returned ``RunResult``, those that are fixed stripped.
        names: What stands for parameters that are objects.
        means: Takes in its blocks.
    """

    number: int
    params: dict[str, Any]
    metrics: dict[str, float] = field(default_factory=dict)
    questions: dict[str, dict[str, float]] = field(default_factory=dict)
    held_out: dict[str, dict[str, float]] = field(default_factory=dict)
    seconds: float = 0.0
    error: str | None = None
    paused: bool = False
    next_block: int = 0
    held_out_blocks: int = 0
    since: float = field(default_factory=time.monotonic)
    went_on: bool = False
    finished: bool = False
    stopped: str | None = None
    told: dict[str, float] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    returned_params: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    means: Means = field(default_factory=Means, repr=False)

    @property
    def shown(self) -> dict[str, Any]:
        """The tuned parameters as they are logged and shown."""
        return {**self.params, **self.names}


Listener = Callable[["Study", Trial], None]


class Study:
    """The record of one search; the driver is its only writer.

    Args:
        metric: The value to optimise.
        mode: ``max`` or ``min``.
        folder: The run folder, which exists; None keeps the study in memory only.
        listeners: Called with the study and a trial after each change.
        names: Says what stands for parameters that are objects; see `SearchSpace.names`.
        goals: What is optimised, where it is several metrics or there are limits; `metric` is that of the first.
    """

    def __init__(
        self,
        metric: str,
        mode: str,
        folder: Path | None = None,
        listeners: tuple[Listener, ...] = (),
        names: Callable[[Mapping[str, Any]], dict[str, str]] = lambda _: {},
        goals: Goals = (),
    ) -> None:
        if mode not in ("max", "min"):
            raise UserError(f"mode is {mode!r}; it must be max or min")
        self.goals = list(goals) or [Goal.model_validate({"metric": metric, "mode": mode})]
        self.metric = metric
        self.mode = mode
        self.folder = folder
        self.trials: dict[int, Trial] = {}
        self.notes: list[str] = []
        self.taken = Taken()
        self.failure: RaytunerError | None = None
        self.halted: str | None = None
        self._listeners = listeners
        self._names = names
        self._log = Log(folder / LOG) if folder else None
        self._started = time.monotonic()
        self._ended: float | None = None

    def start(self, number: int, params: Mapping[str, Any], point: Mapping[str, Any] | None = None) -> Trial:
        """A trial begins (again, if its worker was lost before its first block).

        Args:
            number: Its number.
            params: The tuned parameters.
            point: Its raw sample, from which a search that goes on later has it evaluated.
        """
        trial = self.trials[number] = Trial(number, dict(params), names=self._names(params))
        self._write(kind="start", trial=number, params=trial.shown, point=point)
        self._changed(trial)
        return trial

    def pause(self, number: int, seconds: float) -> None:
        """A trial has come as far as it was to, after so many seconds more."""
        trial = self.trials[number]
        trial.seconds, trial.paused = trial.seconds + seconds, True
        self._changed(trial)

    def is_over(self, number: int, timeout_s: float | None) -> bool:
        """Whether a trial has taken as long as it may."""
        trial = self.trials.get(number)
        return timeout_s is not None and trial is not None and time.monotonic() - trial.since >= timeout_s

    def resume(self, number: int) -> None:
        """A trial that was paused, dropped, or lost with its worker goes on."""
        trial = self.trials[number]
        trial.since = time.monotonic()
        trial.paused = trial.finished = False
        trial.went_on = True
        trial.stopped = None
        self._changed(trial)

    def report(self, number: int, report: Report) -> None:
        """A trial has reported; a finished block of questions goes to the log."""
        trial = self.trials[number]
        trial.metrics = dict(report.metrics)
        if report.block is not None:
            trial.means.add(report.block.values)
            trial.metrics |= trial.means.values() if trial.went_on else {}
        trial.metadata = report.metadata
        trial.returned_params = report.params
        if report.block is not None:
            trial.questions.update(report.block.values)
            trial.next_block = report.block.index + 1
            self._write_block(number, report.block)
        self._changed(trial)

    def finish(self, number: int, seconds: float, error: str | None = None, worker: str | None = None) -> None:
        """A trial has ended by itself; it goes to the log."""
        trial = self.trials[number]
        trial.error = redact(error) if error is not None else None
        self._end(trial, seconds, worker)

    def stop(
        self, number: int, seconds: float, reason: str, told: Mapping[str, float], worker: str | None = None
    ) -> None:
        """A trial was stopped before all questions were evaluated; it goes to the log.

        Args:
            number: That of the trial.
            seconds: Its age.
            reason: Why it was stopped.
            told: What the search algorithm is told of it, by metric.
            worker: The process in which it ran.
        """
        trial = self.trials[number]
        trial.stopped, trial.told = reason, dict(told)
        self._end(trial, seconds, worker)

    def report_held_out(self, number: int, block: Block) -> None:
        """A leader has answered a block of held-out questions; it goes to the log."""
        trial = self.trials[number]
        trial.held_out.update(block.values)
        trial.held_out_blocks += 1
        self._write_block(number, block, "held_out")

    def drop(self, number: int, reason: str) -> None:
        """A trial that waits is stopped, if it is not already; see `stop`."""
        if not self.trials[number].finished:
            self.stop(number, 0.0, reason, {})

    def _end(self, trial: Trial, seconds: float, worker: str | None) -> None:
        trial.seconds, trial.finished, trial.paused = trial.seconds + seconds, True, False
        is_scored = trial.error is None and trial.stopped is None
        self._write(
            kind="trial",
            trial=trial.number,
            params=trial.shown,
            score=trial.metrics.get(self.metric) if is_scored else None,
            metrics=trial.metrics,
            seconds=round(trial.seconds, 6),
            error=trial.error,
            stopped=trial.stopped,
            told=trial.told or None,
            worker=worker,
        )
        self._changed(trial)

    def give_up(self, reason: str) -> NoReturn:
        """End the search.

        Raises:
            RaytunerError: Always, with the reason.
        """
        kept = f"; what was finished is kept: raytuner show {self.folder}" if self.folder and self.scored else ""
        self.failure = RaytunerError(f"{reason}{kept}")
        raise self.failure

    def halt(self, reason: str) -> None:
        """Nothing more is run, for a reason; what is unfinished stays so."""
        self.halted = self.halted or redact(reason)

    def note(self, text: str) -> None:
        """Keep a remark about the run, once."""
        text = redact(text)
        if text not in self.notes:
            self.notes.append(text)

    @property
    def running(self) -> list[Trial]:
        """The trials in flight."""
        return [trial for trial in self.trials.values() if not trial.finished and not trial.paused]

    @property
    def failed(self) -> list[Trial]:
        """The trials that failed."""
        return [trial for trial in self.trials.values() if trial.error is not None]

    @property
    def stopped(self) -> list[Trial]:
        """The trials that were stopped before all questions were evaluated, by their numbers."""
        found = [trial for trial in self.trials.values() if trial.stopped is not None]
        return sorted(found, key=lambda trial: trial.number)

    @property
    def ended(self) -> int:
        """How many trials have ended in any way."""
        return sum(trial.finished for trial in self.trials.values())

    @property
    def scored(self) -> list[Trial]:
        """The trials with a score, best first; equal ones in the order of their numbers. See `standing`."""
        ended = [trial for trial in self.trials.values() if trial.finished]
        scored = [trial for trial in ended if trial.error is None and trial.stopped is None]
        if are_plain(self.goals):
            sign = -1 if self.mode == "max" else 1
            return sorted(scored, key=lambda trial: (sign * trial.metrics[self.metric], trial.number))
        scored.sort(key=lambda trial: trial.number)
        return [scored[at] for at in standing(self.goals, [trial.metrics for trial in scored]).order]

    @property
    def best(self) -> Trial | None:
        """The best trial so far, for several objectives the knee of the Pareto front; None if none is within limits."""
        first = next(iter(self.scored), None)
        return first if first is not None and not self.breaches(first) else None

    def said(self, trial: Trial) -> str:
        """The values of a trial that are optimised, with their names."""
        values = {goal.metric: trial.metrics.get(goal.metric, math.nan) for goal in self.goals}
        return ", ".join(f"{name} {shown(value)}" for name, value in values.items())

    def breaches(self, trial: Trial) -> list[str]:
        """What of a trial is beyond a limit."""
        return [said for goal in self.goals if (said := goal.breach(trial.metrics.get(goal.metric, math.nan)))]

    @property
    def seconds(self) -> float:
        """The age of the study, or how old it became, to the millisecond."""
        return round((self._ended or time.monotonic()) - self._started, 3)

    def result(
        self,
        fixed: Mapping[str, Any] | None = None,
        *,
        default: int | None = None,
        ended: str | None = None,
        interrupted: bool = False,
    ) -> TunedResult:
        """The results so far.

        Args:
            fixed: Fixed parameters, put by reference into the parameters of every result.
            default: The number of the trial that ran the default configuration.
            ended: Why the search ended early.
            interrupted: Whether by Ctrl-C.

        Raises:
            AllTrialsFailedError: No trial succeeded; the message holds the first error.
            InfeasibleError: None of those that succeeded is within the limits; the message holds the nearest.
        """
        fixed = fixed or {}
        results = [self._run_result(trial, fixed) for trial in self.scored]
        failed = [_failed_trial(trial, fixed) for trial in sorted(self.failed, key=lambda trial: trial.number)]
        if not results:
            if interrupted:
                raise KeyboardInterrupt(so_far(self.goals, list(self.trials.values())))
            raise AllTrialsFailedError(why_none(self, failed))
        if self.best is None:
            raise InfeasibleError(why_none_within(self))
        return TunedResult(
            run_results=results,
            best_idx=0,
            objectives=self.goals,
            failed=failed,
            stopped=[self._stopped(trial, fixed) for trial in self.stopped],
            default=next((result for result in results if result.trial == default), None),
            default_failed=next((trial for trial in failed if trial.trial == default), None),
            run=str(self.folder) if self.folder else None,
            seconds=self.seconds,
            ended=ended,
            interrupted=interrupted,
            notes=list(self.notes),
        )

    def close(self) -> None:
        """Close the log; nothing more is written."""
        self._ended = self._ended or time.monotonic()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _run_result(self, trial: Trial, fixed: Mapping[str, Any]) -> RunResult:
        return RunResult(**self._fields(trial, fixed))

    def _stopped(self, trial: Trial, fixed: Mapping[str, Any]) -> StoppedTrial:
        return StoppedTrial(**self._fields(trial, fixed), reason=trial.stopped or "", told=trial.told)

    def _fields(self, trial: Trial, fixed: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "score": trial.metrics[self.metric],
            "params": {**fixed, **trial.params, **trial.returned_params},
            "metadata": trial.metadata,
            "metrics": trial.metrics,
            "questions": trial.questions,
            "trial": trial.number,
            "seconds": trial.seconds,
            "names": trial.names,
        }

    def _write_block(self, number: int, block: Block, kind: str = "block") -> None:
        self._write(
            kind=kind,
            trial=number,
            block=block.index,
            questions=list(block.values),
            values=block.values,
            seconds=round(block.seconds, 6),
            stages={name: [use.made, use.reused, round(use.seconds, 6)] for name, use in block.stages.items()},
            error=None,
            failed=failures(block.values),
        )

    def _write(self, **row: Any) -> None:
        if self._log is None:
            return
        try:
            self._log.append(row)
        except RaytunerError as error:
            self.failure = error  # Tune, which calls from here on, would wrap it into an error of its own
            raise

    def _changed(self, trial: Trial) -> None:
        for listener in self._listeners:
            listener(self, trial)


def _failed_trial(trial: Trial, fixed: Mapping[str, Any]) -> FailedTrial:
    return FailedTrial(
        params={**fixed, **trial.params}, error=trial.error or "", trial=trial.number, seconds=trial.seconds
    )
