"""An objective as a Ray trainable: a raw sample goes down to a worker, reports come up to the study."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import re
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from pickle import PickleBuffer
from typing import Any

from ray import cloudpickle, tune

from raytuner import memory
from raytuner.calls import calling, labelled
from raytuner.calls.handle import Handle
from raytuner.components import begin_run, run_token
from raytuner.errors import BudgetUsedUpError, ConfigError, EndpointDownError, ModelChangedError, redact
from raytuner.nodes_ray import Shared
from raytuner.objective import Objective, Report
from raytuner.pipeline.chunk import token_counter
from raytuner.results import summary_of
from raytuner.run_log import RunLog
from raytuner.schedulers.gate import Gate
from raytuner.schedulers.unfinished import Losses
from raytuner.space import SearchSpace
from raytuner.study import Study
from raytuner.worker_log import Line, WorkerLog

PAYLOAD = "raytuner"
"""The key of the `Payload` in what a trial tells Tune."""

AT_ONCE_S = 0.1
"""Blocks that end within so many seconds are told at once: telling takes some milliseconds each time."""

LEAST_SETUP_S = 60.0
"""So long a worker may take to start, though a trial may take less: imports are no part of a trial."""


@dataclass
class Payload:
    """What goes from a worker to the driver beside the metric.

    It is an object and not a dict so that Tune does not look into it, and the driver empties it on
    arrival so that Tune, which writes what it is told to disk, has nothing to write.

    Attributes:
        number: That of the trial.
        reports: What the objective has reported since the last time.
        seconds: The age of the trial.
        error: The traceback of a failed trial.
        fatal: Why the search as a whole has to end.
        worker: The process.
        lines: What was logged in it.
        halted: Why no trial goes on, e.g. because the budget is used up.
        paused: Whether the trial has come as far as it was to, and others come first.
        ended: Whether the trial has ended by itself. Tune is not told so: it would not ask the scheduler then.
        held_out: Whether it is of held-out questions, after the search.
        stopped: Why the driver has stopped the trial.
        told: What the search algorithm is told of it then, by metric.
    """

    number: int
    reports: list[Report]
    seconds: float
    error: str | None = None
    fatal: str | None = None
    worker: str = ""
    lines: list[Line] = field(default_factory=list)
    ended: bool = False
    paused: bool = False
    held_out: bool = False
    halted: str | None = None
    stopped: str | None = None
    told: Mapping[str, float] = field(default_factory=dict)

    def stop(self, reports: int, reason: str, told: Mapping[str, float]) -> None:
        """Take note that the trial was stopped after so many of the reports; what came later is forgotten."""
        self.reports, self.error, self.fatal, self.ended = self.reports[:reports], None, None, False
        self.halted = None
        self.stopped, self.told = reason, told

    def clear(self) -> None:
        """Forget everything that must not reach the disk."""
        self.reports, self.error, self.lines = [], None, []


@dataclass(frozen=True)
class Parcel:
    """An objective and its space on their way to the workers.

    Attributes:
        content: Both, pickled; they stay in memory.
        buffers: The texts of documents, which workers read where Ray keeps them, without a copy each.
        path: Where the driver finds modules, so that a function of a module beside the user's script
            or test is found by the workers as well.
        run: The driver's `raytuner.components.run_token`.
    """

    content: bytes
    buffers: tuple[Any, ...]
    path: tuple[str, ...]
    run: str

    @classmethod
    def pack(cls, objective: Objective, space: SearchSpace) -> Parcel:
        """Pickle an objective and its space.

        Raises:
            ConfigError: They hold something that cannot be sent to another process.
        """
        buffers: list[PickleBuffer] = []

        def in_band(buffer: PickleBuffer) -> bool:
            shared = isinstance(memoryview(buffer).obj, bytes)  # arrays of the user's would be read-only in workers
            if shared:
                buffers.append(buffer)
            return not shared

        try:
            content = cloudpickle.dumps((objective, space), protocol=5, buffer_callback=in_band)
        except Exception as error:  # pickling calls into whatever the objective holds
            raise ConfigError(
                f"the objective cannot be sent to worker processes ({type(error).__name__}: {error}); "
                "open connections and locks inside the function"
            ) from None
        return cls(content, tuple(buffers), tuple(sys.path), run_token())

    def unpack(self) -> tuple[Objective, SearchSpace]:
        """The objective and the space, in the worker."""
        begin_run(self.run)
        sys.path += [folder for folder in self.path if folder not in sys.path]
        if b"tiktoken" in self.content:
            token_counter()  # else a tokenizer would be fetched from the network while it is unpickled
        unpacked: tuple[Objective, SearchSpace] = cloudpickle.loads(self.content, buffers=self.buffers)
        return unpacked


@contextlib.contextmanager
def _ended_after(seconds: float | None) -> Iterator[None]:
    """End this process when what is done in it takes longer, whatever it is in; Tune itself would wait forever."""
    if seconds is None:
        yield
        return
    faulthandler.dump_traceback_later(max(seconds, 0.001), exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


class ObjectiveTrainable(tune.Trainable):  # type: ignore[misc]
    """Runs one trial after the other in the same worker process."""

    def setup(
        self,
        config: dict[str, Any],
        parcel: Parcel,
        gate: Gate,
        ledger: Handle | None = None,
        timeout_s: float | None = None,
        shared: Shared | None = None,
    ) -> None:
        """Take in the objective, once a worker, and begin the first trial."""
        self._timeout_s = timeout_s
        self._log = WorkerLog().open()  # before anything of the user's is imported
        memory.share_among(gate.workers)  # at the most: on a cluster others may be elsewhere
        try:
            with _ended_after(None if timeout_s is None else max(timeout_s, LEAST_SETUP_S)):
                calling(ledger)
                if shared is not None:
                    shared.unpack()
                self._objective, self._space = parcel.unpack()
                self._objective.resolve()
        except Exception:
            gate.hold_back()
            raise
        self._reports: Iterator[Report] = iter(())
        self._last: Report | None = None
        self._gate, self._passed = gate, 0
        self._is_new = True
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in this worker."""
        self._reports = iter(())
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Evaluate the next block of questions, or as many as end at once.

        An exception of the objective ends the trial, not the worker, and never reaches Tune, which
        would write it to files of its own.
        """
        if self._is_new:
            self._passed = self._gate.enter(self._passed)
            self._is_new = False
            self._started = time.perf_counter()
        age = time.perf_counter() - self._started
        with labelled(trial=self._number), _ended_after(None if self._timeout_s is None else self._timeout_s - age):
            return self._step()

    def _step(self) -> dict[str, Any]:
        reports: list[Report] = []
        end, done = time.perf_counter() + AT_ONCE_S, False
        try:
            while not done and (not reports or time.perf_counter() < end):
                report = next(self._reports, None)
                reports += [] if report is None else [report]
                done = report is None or report.block is None
                if report is not None and report.block is not None and report.block.index + 1 == self._until:
                    return self._told(reports, paused=True)
        except (BudgetUsedUpError, EndpointDownError) as raised:
            return self._told(reports, halted=redact(str(raised)))
        except (Exception, SystemExit) as raised:  # whatever an objective raises is a failed trial
            error = self._objective.without_documents(redact(traceback.format_exc()))
            fatal = str(raised) if isinstance(raised, ModelChangedError) else None
            return self._told(reports, error=error, fatal=fatal, done=True)
        if reports:
            self._last = reports[-1]
        return self._told(reports, done=done)

    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        """There is no state worth keeping: finished blocks are in the driver's log."""
        return {}

    def load_checkpoint(self, checkpoint: Any) -> None:
        """See `save_checkpoint`."""

    def cleanup(self) -> None:
        """Detach from logging."""
        self._log.close()

    def _begin(self, config: dict[str, Any]) -> None:
        self._number: int = config["number"]
        params = self._space.configuration(config["point"])
        self._held_out: bool = config.get("held_out", False)
        self._until: int | None = config.get("until")
        left = self._objective.reports(params, config.get("start", 0), config.get("failed", 0))
        self._reports = iter(()) if config.get("answered") else left  # of some only the end is left
        self._last = None
        self._is_new = True
        self._started = time.perf_counter()

    def _told(
        self,
        reports: list[Report],
        error: str | None = None,
        fatal: str | None = None,
        done: bool = False,
        paused: bool = False,
        halted: str | None = None,
    ) -> dict[str, Any]:
        metrics = self._last.metrics if self._last and error is None else {}
        seconds = time.perf_counter() - self._started
        lines = self._log.take(self._objective.without_documents)
        payload = Payload(
            self._number, reports, seconds, error, fatal, str(os.getpid()), lines, done, paused, self._held_out, halted
        )
        optimised = (self._objective.metric, *self._objective.others)
        return {
            **{name: metrics.get(name, float("nan")) for name in optimised},
            PAYLOAD: payload,
        }


class StudyCallback(tune.Callback):  # type: ignore[misc]
    """Records what the driver learns from Tune.

    Args:
        study: The study, of which this is the only writer.
        space: Turns raw samples into configurations.
        log: The run's ``raytuner.log``.
        losses: Says which trials go on whose worker was lost.
        timeout_s: How long a trial may take.
    """

    def __init__(self, study: Study, space: SearchSpace, log: RunLog, losses: Losses, timeout_s: float | None) -> None:
        self._losses = losses
        self._timeout_s = timeout_s
        self._study = study
        self._space = space
        self._log = log

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks to a file that nobody reads."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial begins in a worker."""
        config = trial.config
        if config.get("held_out"):
            return
        if config.get("start"):
            self._study.resume(config["number"])
        else:
            self._study.start(config["number"], self._space.configuration(config["point"]), config["point"])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """A block has come, or the end of a trial."""
        payload: Payload | None = result.get(PAYLOAD)
        if payload is None:
            return
        for line in payload.lines:
            self._log.once(line.text, line.level)
            if line.ours and line.level >= logging.WARNING:
                self._study.note(line.text)
        if payload.held_out:
            self._confirmed(payload)
            if payload.halted is not None:
                self._study.halt(payload.halted)
            return
        for report in payload.reports:
            self._study.report(payload.number, report)
        if payload.ended:
            self._study.finish(payload.number, payload.seconds, payload.error, payload.worker)
            self._tell_all(result, payload)
        elif payload.halted is not None:
            self._study.halt(payload.halted)
            self._study.pause(payload.number, payload.seconds)
        elif payload.paused:
            self._study.pause(payload.number, payload.seconds)
        elif result.get("done"):
            reason = payload.stopped or "stopped by Ray Tune, as run_config_dict says"
            self._study.stop(payload.number, payload.seconds, reason, payload.told, payload.worker)
            result.update(payload.told, stopped=True)  # which Tune hands on to the search algorithm
        fatal = payload.fatal
        payload.clear()
        if fatal is not None:
            self._study.give_up(fatal)

    def _tell_all(self, result: dict[str, Any], payload: Payload) -> None:
        """Tune, and so the search algorithm, is told the means of all questions: a worker knows those it was asked."""
        trial = self._study.trials[payload.number]
        if trial.went_on and payload.error is None:
            result.update({name: value for name, value in trial.metrics.items() if name in result})

    def _confirmed(self, payload: Payload) -> None:
        """A leader has answered held-out questions."""
        for report in payload.reports:
            if report.block is not None:
                self._study.report_held_out(payload.number, report.block)
        if payload.error is not None:
            self._study.note(f"trial {payload.number} failed on the held-out questions: {summary_of(payload.error)}")
        payload.clear()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker was lost, or Tune failed to run the trial."""
        number = trial.config["number"]
        if self._losses.goes_on(trial.trial_id, number):
            self._log.note(f"trial {number} lost its worker and goes on in another: {summary_of(_error_text(trial))}")
            if number in self._study.trials and not trial.config.get("held_out"):
                self._study.pause(number, 0.0)
            return
        if trial.config.get("held_out"):
            self._study.note(f"trial {number} failed on the held-out questions: {summary_of(_error_text(trial))}")
            return
        error = _error_text(trial)
        if not self._study.trials:
            self._study.give_up(f"no worker could start: {summary_of(error)}")
        if number not in self._study.trials:  # it never began
            self._study.start(number, self._space.configuration(trial.config["point"]), trial.config["point"])
        if self._losses.is_over(number):
            error = f"TrialError: it took longer than the {self._timeout_s:g} s of search.trial_timeout_s and was ended"
        self._study.finish(number, 0.0, error)


def _error_text(trial: Any) -> str:
    """The error that Tune keeps in a file of its own; of what Ray says of memory the line that tells."""
    try:
        text = Path(trial.error_file).read_text(encoding="utf-8", errors="replace")
    except (OSError, TypeError):
        return "the worker was lost"
    telling = re.search(r"[^\n]*running low on memory[^\n]*", text)
    return text if telling is None else telling[0]
