"""``log.jsonl``: a line for each finished block of questions and for each trial that has ended."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from raytuner.errors import DataError, RaytunerError, redact
from raytuner.run_folder import LOG, jsonable
from raytuner.values import FailedQuestion, Values


class Log:
    """An append-only file of JSON lines, each on disk before `append` returns.

    Args:
        path: The file; it is made if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("a", encoding="utf-8")

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one line and wait until it is on disk.

        Raises:
            RaytunerError: The line cannot be written, e.g. because the disk is full.
        """
        try:
            # ASCII: text may hold separators that look like ends of lines, or halves of characters.
            self._file.write(redact(json.dumps(jsonable(row))) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RaytunerError(
                f"{self._path}: {error.strerror}; free some space; what was finished is kept: "
                f"raytuner show {self._path.parent}"
            ) from None

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):  # a line that could not be written has been spoken of
            self._file.close()


class Read(NamedTuple):
    """A log that was read back.

    Attributes:
        rows: Its rows, in their order.
        damaged: The numbers of lines that are no rows, from 1; a torn last line is none of them.
    """

    rows: list[dict[str, Any]]
    damaged: list[int]

    @property
    def notes(self) -> list[str]:
        """What has to be said of it."""
        if not self.damaged:
            return []
        named = ", ".join(map(str, self.damaged[:5])) + (", ..." if len(self.damaged) > 5 else "")
        lines, are = ("line", "is") if len(self.damaged) == 1 else ("lines", "are")
        return [f"{LOG}: {lines} {named} {are} damaged and left out"]


def read_log(folder: Path) -> Read:
    """The rows of a run's log that can be read; those of other kinds, which later versions may write, are left out.

    A torn last line, which a killed driver may leave, is skipped; a damaged one in the middle as well, with its number.

    Raises:
        DataError: There is no log.
    """
    path = folder / LOG
    if not path.is_file():
        raise DataError(f"{folder}: no {LOG} there; name a run folder, e.g. runs/quickstart-...")
    *lines, last = path.read_text(encoding="utf-8", errors="replace").split("\n")
    found = Read([], [])
    for number, line in enumerate((*lines, last), 1):
        row = _row(line)
        if row is None and number <= len(lines):
            found.damaged.append(number)
        elif row is not None and row["kind"] in FIELDS:
            found.rows.append(row)
    return found


def _row(line: str) -> dict[str, Any] | None:
    """A line as a row; None if it is none, or lacks something."""
    try:
        row = json.loads(line)
        if not isinstance(row, dict) or not isinstance(row.get("kind"), str):
            return None
    except (ValueError, RecursionError):
        return None
    return row if row["kind"] not in FIELDS or is_complete(row) else None


def mend(path: Path) -> None:
    """Cut off a torn last line of a file of JSON lines, or end it, so that what is appended is a line of its own."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    with path.open("r+b") as file:
        if whole < len(content) and _is_json(content[whole:]):
            file.seek(0, os.SEEK_END)
            file.write(b"\n")
        else:
            file.truncate(whole)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def values_of(row: Mapping[str, Any]) -> Values:
    """The values of a row of a block, with why questions failed."""
    failed = {question: FailedQuestion(str(reason)) for question, reason in (row.get("failed") or {}).items()}
    return {question: failed.get(question, values) for question, values in row["values"].items()}


FIELDS = {
    "start": {"trial", "params"},
    "block": {"trial", "block", "values"},
    "held_out": {"trial", "block", "values"},
    "trial": {"trial", "params", "metrics", "seconds", "error"},
}


TYPES: Mapping[str, Any] = {
    "trial": int,
    "params": dict,
    "point": (dict, type(None)),
    "values": dict,
    "failed": (dict, type(None)),
    "metrics": dict,
    "seconds": (int, float),
    "error": (str, type(None)),
    "stopped": (str, type(None)),
    "told": (dict, type(None)),
    "block": int,
}


def is_complete(row: Mapping[str, Any]) -> bool:
    """Whether a row has what its kind has to have."""
    if not FIELDS[row["kind"]] <= set(row):
        return False
    rows = row["values"].values() if "values" in row and isinstance(row["values"], dict) else ()
    return all(isinstance(row[name], of) for name, of in TYPES.items() if name in row) and all(
        isinstance(values, dict) for values in rows
    )
