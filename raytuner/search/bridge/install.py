"""Making a virtual environment from lock files, by pip; nothing is installed whose hash is not in them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from raytuner.errors import SearchError

INSTALL_TIMEOUT_S = 3600
QUERY_TIMEOUT_S = 120
PIP = ("-m", "pip")
QUIET = ("--no-input", "--disable-pip-version-check", "--no-deps")


def install_locked(name: str, python: str, folder: Path, locks: Sequence[Path]) -> None:
    """Make a virtual environment and install what the locks name.

    Args:
        name: Of the algorithm, for messages.
        python: The path of the Python for it.
        folder: An empty folder.
        locks: Requirements with hashes: the first of wheels alone, a second of sources, which are built with what the
            first installed.

    Raises:
        SearchError: Python or pip failed.
    """
    _forbid_offline(name)
    _run([python, "-m", "venv", "--without-pip", str(folder)], f"could not make an environment for {name!r}")
    pip = [sys.executable, *PIP, "--python", str(folder / "bin" / "python"), "install", *QUIET, "--require-hashes"]
    for lock in locks:
        source = lock.name.endswith(".source.txt")
        how = ["--no-build-isolation"] if source else ["--only-binary", ":all:"]
        _run([*pip, *how, "--requirement", str(lock)], f"could not install {name!r}")


def has(python: str, requirement: str) -> bool:
    """Whether the configured index has a requirement; it may have to be fetched to be known.

    Args:
        python: The path of the Python that would use it.
        requirement: A name with a version.
    """
    query = ["--dry-run", "--ignore-installed", "--only-binary", ":all:", requirement]
    command = [sys.executable, *PIP, "--python", python, "install", *QUIET, *query]
    try:
        run = subprocess.run(  # noqa: S603 (all arguments are raytuner's)
            command, capture_output=True, timeout=QUERY_TIMEOUT_S, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return run.returncode == 0


def python_version(python: str) -> str | None:
    """The version of a Python, ``3.11``; None if it cannot be run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        run = subprocess.run(  # noqa: S603 (a path that was found by its name)
            [python, "-c", code], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() if run.returncode == 0 else None


def _forbid_offline(name: str) -> None:
    if os.environ.get("RAYTUNER_OFFLINE", "") not in ("", "0"):
        raise SearchError(f"RAYTUNER_OFFLINE forbids fetching what {name!r} needs; unset it")


def _run(command: list[str], failure: str) -> None:
    try:
        run = subprocess.run(  # noqa: S603 (all arguments are raytuner's)
            command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired:
        raise SearchError(f"{failure}: it took over {INSTALL_TIMEOUT_S} s; try again") from None
    except OSError as error:
        raise SearchError(f"{failure}: {command[0]}: {error.strerror}") from None
    if run.returncode == 0:
        return
    if "No module named pip" in run.stderr:
        raise SearchError(f"{failure}: {sys.executable} has no pip; install pip")
    from raytuner.models.weights import last_error  # LlamaIndex comes with it

    raise SearchError(f"{failure}: {last_error(run.stderr or run.stdout)}; try again with a network")
