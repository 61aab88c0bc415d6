"""What is logged and warned in a worker, on its way to the run folder's ``raytuner.log``."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

from raytuner.errors import redact

LONGEST = 300
"""A longer line is cut: it may quote what belongs into no log."""
MOST = 50
"""So many different lines are taken from one worker."""


class Line(NamedTuple):
    """One thing that was said in a worker; `ours` is whether raytuner's own code said it."""

    level: int
    text: str
    ours: bool


class WorkerLog:
    """Overhears logging in this process: raytuner's own from INFO on, warnings of all others, each line once.

    It is no handler of the root logger: with one there, a module's ``logging.basicConfig`` does nothing.
    """

    def __init__(self) -> None:
        self._lines: list[Line] = []
        self._known: set[Line] = set()
        self._make_record = logging.getLogRecordFactory()
        self._show_warning = warnings.showwarning
        self._logger = logging.getLogger("raytuner")
        self._level = self._logger.level
        self._silent = logging.NullHandler()  # what raytuner warns of is shown by the driver

    def open(self) -> WorkerLog:
        """Begin to listen."""
        logging.setLogRecordFactory(self._record)
        warnings.showwarning = self._warning
        self._logger.setLevel(logging.INFO)
        self._logger.addHandler(self._silent)
        return self

    def close(self) -> None:
        """Leave logging as it was."""
        logging.setLogRecordFactory(self._make_record)
        warnings.showwarning = self._show_warning
        self._logger.setLevel(self._level)
        self._logger.removeHandler(self._silent)

    def take(self, withhold: Callable[[str], str]) -> list[Line]:
        """What is new since the last time.

        Args:
            withhold: Takes the text of documents out of what other code than raytuner's says.
        """
        lines, self._lines = self._lines, []
        return [line if line.ours else line._replace(text=withhold(line.text)) for line in lines]

    def _record(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self._make_record(*args, **kwargs)
        with contextlib.suppress(Exception):  # a record may be broken; logging itself says so
            source = record.name.partition(".")[0]
            ours = source == "raytuner"
            if record.levelno >= (logging.INFO if ours else logging.WARNING) and source != "ray":
                text = record.getMessage()
                self._add(record.levelno, text if ours else f"{record.name}: {text}", ours)
        return record

    def _warning(self, message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
        self._add(logging.WARNING, f"{category.__name__}: {message}", False)
        self._show_warning(message, category, *place, **more)

    def _add(self, level: int, text: str, ours: bool) -> None:
        text = redact(text)
        line = Line(level, text if len(text) <= LONGEST else f"{text[:LONGEST]}…", ours)
        if line not in self._known and len(self._known) < MOST:
            self._known.add(line)
            self._lines.append(line)
