"""``raytuner.log``: what raytuner logs and warns during a run, also before there is a folder to write to."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from logging.handlers import MemoryHandler
from pathlib import Path
from types import TracebackType

from raytuner.errors import redact
from raytuner.results import FailedTrial
from raytuner.study import Study, Trial

RUN_LOG = "raytuner.log"

_logger = logging.getLogger("raytuner")


class RunLog:
    """Collects what the logger ``raytuner`` is given, in memory until `open` says where the file is.

    Inside of ``with``, records from INFO on go to the file whatever level the logger has; what is shown
    elsewhere does not change.
    """

    def __init__(self) -> None:
        self._memory = MemoryHandler(capacity=sys.maxsize, flushLevel=sys.maxsize)
        self._file: logging.Handler | None = None
        self._level = self._shown_from = logging.NOTSET
        self._said: set[str] = set()

    def __enter__(self) -> RunLog:
        self._level, self._shown_from = _logger.level, _logger.getEffectiveLevel()
        _logger.setLevel(min(self._shown_from, logging.INFO))
        _logger.addFilter(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _logger.removeFilter(self)
        _logger.setLevel(self._level)
        if error is not None:
            self.note(f"ended by {type(error).__name__}: {error}", logging.ERROR)
        self._memory.close()
        if self._file is not None:
            with contextlib.suppress(OSError):  # the disk may be full
                self._file.close()

    def filter(self, record: logging.LogRecord) -> bool:
        """Take a record in; called by the logger, which goes on only with what it would have taken without us."""
        if record.levelno >= logging.INFO:
            self._memory.handle(record)
        return record.levelno >= self._shown_from

    def note(self, text: str, level: int = logging.INFO) -> None:
        """Write a line to the file only."""
        record = {"msg": text, "levelno": level, "levelname": logging.getLevelName(level)}
        self._memory.handle(logging.makeLogRecord(record))

    def once(self, text: str, level: int = logging.INFO) -> None:
        """`note` a line unless it was noted by this before: what one worker says, another one says too."""
        text = redact(text)
        if text not in self._said:
            self._said.add(text)
            self.note(text, level)

    def on_change(self, study: Study, trial: Trial) -> None:
        """Note a trial that has ended; a listener of the study."""
        if trial.error is not None:
            summary = FailedTrial(params={}, error=trial.error).summary
            self.note(f"trial {trial.number} failed after {trial.seconds:.1f} s: {summary}", logging.ERROR)
        elif trial.stopped is not None:
            self.note(f"trial {trial.number} stopped: {trial.stopped}, {trial.seconds:.1f} s")
        elif trial.finished:
            self.note(f"trial {trial.number}: {study.said(trial)}, {trial.seconds:.1f} s")

    def open(self, folder: Path) -> None:
        """Write what was collected to a run folder, and from now on each record at once."""
        self._file = _File(folder / RUN_LOG, encoding="utf-8")
        self._file.setFormatter(_Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ"))
        self._memory.setTarget(self._file)
        self._memory.flushLevel = logging.NOTSET
        self._memory.flush()


class _File(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - a name of logging's
        """Lose the line: the log of trials is what a run needs, and says it when the disk is full."""


class _Formatter(logging.Formatter):
    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """One line, without secrets."""
        return redact(" ".join(super().format(record).split("\n")))
