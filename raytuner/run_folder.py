"""The run folder: where it is, what it is called, and what ``run.json`` says."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import os
import re
import socket
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from raytuner.errors import ConfigError, DataError, UserError
from raytuner.goals import Goal, checked
from raytuner.naming import name_of

LOG = "log.jsonl"
RUN = "run.json"
HELD_OUT = "held_out.json"
QUESTIONS = "questions.json"

FORMAT = 3
"""Raised when what a run folder holds changes so that older versions would misread it."""


def new_folder(parent: Path, name: str) -> Path:
    """Make a new run folder ``NAME-YYYYmmdd-HHMMSS``, only for its owner.

    Raises:
        UserError: It cannot be made.
    """
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    for suffix in ("", *(f"-{number}" for number in range(2, 1000))):
        folder = parent / f"{name}-{stamp}{suffix}"
        try:
            folder.mkdir(mode=0o700, parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(f"{folder}: {error.strerror}; choose another run.folder") from None
        return folder.resolve()
    raise UserError(f"{parent}: too many runs of this second; try again")


LOCK = ".lock"


@contextlib.contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Be the one driver that writes to a run folder; the kernel lets go of it with a driver that is killed.

    Raises:
        UserError: Another driver does.
    """
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            who = file.read(200).strip() or "another process"
            raise UserError(f"{folder}: {who} is working on this run; wait for it, or stop it") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield


def is_held(folder: Path) -> bool:
    """Whether a driver is writing to a run folder, of this machine."""
    try:
        with (folder / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a folder of before, or one that was copied
        return False
    return False


def check_parent(parent: Path) -> None:
    """Refuse a place where no run folder can be made.

    Raises:
        UserError: With the place and the reason.
    """
    try:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=parent).close()
    except OSError as error:
        raise UserError(f"{parent}: {error.strerror}; choose another run.folder") from None


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON file so that it is never seen half-written."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(jsonable(value), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    scratch.replace(path)


def utc_now() -> str:
    """The time as ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def read_run(folder: Path) -> dict[str, Any]:
    """What a run folder says of its run: name, metric, search, seed, versions.

    Raises:
        DataError: It is no run folder, its ``run.json`` is damaged, or a later version has made it.
    """
    try:
        run: dict[str, Any] = json.loads((folder / RUN).read_text(encoding="utf-8"))
        found = run.get("format", FORMAT)
    except (OSError, ValueError, AttributeError):
        raise _no_run(folder) from None
    if not isinstance(found, int) or found > FORMAT:
        raise DataError(f"{folder}: format {found!r} of {RUN} is of a newer raytuner; upgrade: pip install -U raytuner")
    if not {"metric", "mode"} <= set(run):  # which a newer one may lack
        raise _no_run(folder)
    for name, of in TYPES.items():
        if name in run and not isinstance(run[name], of):
            raise _damaged(folder, name)
    if not all(isinstance(note, str) for note in run.get("notes", ())):
        raise _damaged(folder, "notes")
    if not all(isinstance(hashes, dict) for hashes in (run.get("data") or {}).values()):
        raise _damaged(folder, "data")
    return run


TYPES: Mapping[str, Any] = {
    "name": str,
    "created": str,
    "metric": str,
    "mode": str,
    "objectives": list,
    "search": (str, type(None)),
    "scheduler": (str, type(None)),
    "trials": (int, type(None)),
    "seed": (int, type(None)),
    "default_trial": (int, type(None)),
    "versions": (dict, type(None)),
    "base": str,
    "config": dict,
    "data": dict,
    "seconds": (int, float, type(None)),
    "seconds_before": (int, float),
    "ended": (str, type(None)),
    "stopped": (str, type(None)),
    "notes": list,
    "interrupted": (bool, type(None)),
}
"""What of ``run.json`` is used, and what it has to be where it is there."""


def _damaged(folder: Path, what: str) -> DataError:
    return DataError(f"{folder}: {RUN} is damaged in {what}; restore the file")


def goals_of(run: Mapping[str, Any], folder: Path) -> tuple[Goal, ...]:
    """What a run was for; older runs have one metric only.

    Raises:
        DataError: ``run.json`` is damaged.
    """
    try:
        plain = {"metric": run["metric"], "mode": run["mode"]}
        return checked(Goal.model_validate(entry) for entry in run.get("objectives", [plain]))
    except (ValidationError, ConfigError, TypeError):
        raise _damaged(folder, "metric, mode or objectives") from None


def has_ended(run: Mapping[str, Any]) -> bool:
    """Whether ``run.json`` says that the search has ended; one that runs, or was killed, has not."""
    return "interrupted" in run


def _no_run(folder: Path) -> DataError:
    return DataError(f"{folder}: no readable {RUN} there; name a run folder, e.g. runs/quickstart-...")


def find_run(run: str, parent: Path) -> Path:
    """The folder of a run.

    Args:
        run: The path of a run folder, its bare name, or the name of a run, of which the newest is taken.
        parent: Where runs are looked for by name.

    Raises:
        DataError: There is none.
    """
    for path in (Path(run).expanduser(), parent / run):
        if (path / RUN).is_file():
            return path.resolve()
    named = re.compile(re.escape(run) + r"-\d{8}-\d{6}(-\d+)?")
    found = [path for path in parent.glob("*") if named.fullmatch(path.name) and (path / RUN).is_file()]
    if not found:
        raise DataError(f"{run}: no such run, neither as a path nor in {parent}/; ls {parent} shows what there is")
    return max(found, key=lambda path: path.stat().st_mtime).resolve()


def jsonable(value: Any) -> Any:
    """A value as JSON can hold it: keys as text, numbers that are not finite as null, objects by their names."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int, bool)):
        return value
    if isinstance(value, Mapping):
        return {str(key): jsonable(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(inner) for inner in value]
    return name_of(value)
