"""Prints the run folder of a job, for `raytuner jobs fetch`: a script of its own, which needs Python only.

The first line of what it prints says what follows, as JSON after `MARK`; then come lines of base64, then `END`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import sys
import tarfile
from pathlib import Path

MARK = "raytuner-run "
END = "raytuner-end"
MAX_BYTES = 100_000_000
"""A log is no place for more."""
LINE = 12_288
"""Bytes in a line; Ray sends a log in pieces of 20,000 characters."""


def jobs_folder() -> Path:
    """Where jobs keep their run folders on the head, which outlives a job and its working folder."""
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "raytuner" / "jobs"


def run_folder(job: str) -> Path | None:
    """The run folder of a job, if there is one."""
    found = [path for path in sorted((jobs_folder() / job).glob("*")) if path.is_dir() and not path.is_symlink()]
    return found[-1] if found else None


def regular_files(folder: Path) -> list[Path]:
    """The files of a run folder; no links, and nothing that is half-written."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    return [path for path in found if not path.name.startswith(".")]


def packed(folder: Path) -> bytes:
    """The files of a run folder as a tar with gzip, their names relative to its parent."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for path in regular_files(folder):
            data = path.read_bytes()  # which may grow while it is read
            entry = tarfile.TarInfo(path.relative_to(folder.parent).as_posix())
            entry.size, entry.mtime, entry.mode = len(data), int(path.stat().st_mtime), 0o600
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def main(job: str, most: int = MAX_BYTES) -> int:
    """Print the run folder of a job; the exit code."""
    folder = run_folder(job)
    if folder is None:
        print(MARK + json.dumps({"missing": str(jobs_folder() / job)}))  # noqa: T201
        return 3
    size = sum(path.stat().st_size for path in regular_files(folder))
    if size > most:
        print(MARK + json.dumps({"folder": str(folder), "too_large": size, "most": most}))  # noqa: T201
        return 4
    data = packed(folder)
    head = {"folder": str(folder), "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    lines = (base64.b64encode(data[start : start + LINE]).decode() for start in range(0, len(data), LINE))
    print(MARK + json.dumps(head), *lines, END, sep="\n", flush=True)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
