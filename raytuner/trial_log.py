"""``log.jsonl``: a line for each finished block of questions and for each trial that has ended."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from raytuner.errors import DataError, RaytunerError, quoted, redact
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


def read_log(folder: Path) -> Iterator[dict[str, Any]]:
    """The rows of a run's log.

    A torn last line, which a killed driver may leave, is skipped.

    Raises:
        DataError: There is no log, or a line in its middle is damaged.
    """
    path = folder / LOG
    if not path.is_file():
        raise DataError(f"{folder}: no {LOG} there; name a run folder, e.g. runs/quickstart-...")
    lines = path.read_text(encoding="utf-8", errors="replace").removesuffix("\n").split("\n")
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            if number == len(lines):
                return
            raise DataError(f"{path}: line {number} is damaged; restore the file or remove the line") from None
        yield row


def values_of(row: Mapping[str, Any]) -> Values:
    """The values of a row of a block, with why questions failed."""
    failed = {question: FailedQuestion(str(reason)) for question, reason in (row.get("failed") or {}).items()}
    return {question: failed.get(question, values) for question, values in row["values"].items()}


FIELDS = {
    "start": {"trial", "params"},
    "block": {"trial", "values"},
    "held_out": {"trial", "values"},
    "trial": {"trial", "params", "metrics", "seconds", "error"},
}


def is_complete(row: Any, folder: Path) -> bool:
    """Whether a row is one that is read back; other kinds may be written by later versions."""
    if not isinstance(row, dict) or not isinstance(row.get("kind"), str):
        raise DataError(f"{folder / LOG}: a line is no row of a log; restore the file or remove the line")
    kind = row["kind"]
    if kind in FIELDS and not FIELDS[kind] <= set(row):
        raise DataError(
            f"{folder / LOG}: a {kind} lacks {', '.join(sorted(FIELDS[kind] - set(row)))}; restore the file"
        )
    for name, kind_of in (("values", dict), ("metrics", dict), ("params", dict), ("seconds", (int, float))):
        if kind in FIELDS and name in FIELDS[kind] and not isinstance(row[name], kind_of):
            raise DataError(f"{folder / LOG}: {name} of a {kind} is {quoted(row[name])}; restore the file")
    if not isinstance(row.get("failed") or {}, dict):
        raise DataError(f"{folder / LOG}: failed of a {kind} is {quoted(row['failed'])}; restore the file")
    for value in row["values"].values() if kind in ("block", "held_out") else ():
        if not isinstance(value, dict):
            raise DataError(f"{folder / LOG}: values of a {kind} are {quoted(value)}; restore the file")
    return kind in FIELDS
