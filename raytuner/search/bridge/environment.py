"""Environments of their own for algorithms: made from a lock file, found again by its hash.

An environment is a folder in the cache whose manifest is written last; one without is not there. It is made under
another name and renamed, so that nobody sees a half-made one.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from raytuner.errors import SearchError
from raytuner.folders import cache_folder
from raytuner.search.bridge.install import install_locked, python_version

LOCKS = Path(__file__).with_name("locks")
MANIFEST = "environment.json"


@dataclass(frozen=True)
class Lock:
    """What an environment is made of.

    Attributes:
        name: Of its files in `LOCKS`, ``NAME.txt`` and, for what has no wheels, ``NAME.source.txt``.
        probe: A requirement that the package index may not have, without which this lock cannot be used.
        pythons: The versions of Python for which its packages have wheels, the best first; empty: the running one.
    """

    name: str
    probe: str = ""
    pythons: tuple[str, ...] = ()

    @property
    def files(self) -> list[Path]:
        """The wheels, then the sources."""
        found = [LOCKS / f"{self.name}.txt", LOCKS / f"{self.name}.source.txt"]
        return [path for path in found if path.exists()]

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of the files."""
        return hashlib.sha256(b"".join(path.read_bytes() for path in self.files)).hexdigest()

    @property
    def packages(self) -> int:
        """How many packages they name."""
        lines = "".join(path.read_text(encoding="utf-8") for path in self.files).splitlines()
        return len({line.partition("==")[0] for line in lines if not line.startswith(" ")})

    def size(self, python: str) -> int | None:
        """The bytes to be fetched on this machine; None if there are no wheels for it.

        Args:
            python: ``3.11``
        """
        sizes = json.loads((LOCKS / "sizes.json").read_text(encoding="utf-8"))[self.name]
        found = sizes.get(f"{python} {sys.platform} {platform.machine()}")
        return None if found is None else int(found)


RUNNING = f"{sys.version_info[0]}.{sys.version_info[1]}"

SYSTEMS: dict[str, tuple[Lock, ...]] = {
    "nevergrad": (Lock("nevergrad"),),
    # The build of torch for CPUs is a tenth of the other; it is in PyTorch's own index, not in the package index.
    "hebo": (Lock("hebo-cpu", probe="torch==2.13.0+cpu"), Lock("hebo")),
    "sigopt": (Lock("sigopt"),),
    "dragonfly": (Lock("dragonfly", pythons=("3.11", "3.10")),),
}
"""The locks of each algorithm, the preferred one first."""


def download_size(name: str) -> int | None:
    """The bytes that are fetched for an algorithm; the larger number where that depends on the index.

    Returns:
        None if there are no wheels for this machine.
    """
    sizes = [lock.size(python) for lock in SYSTEMS[name] for python in (lock.pythons or (RUNNING,))[:1]]
    return max((size for size in sizes if size is not None), default=None)


def is_installed(name: str) -> bool:
    """Whether an algorithm's environment is there; whether it works is seen when it is used."""
    return _found(name) is not None


def problem(name: str) -> str | None:
    """What has to be done before an algorithm can run, as the end of a sentence about it; None if nothing."""
    folder = _found(name)
    remake = f"`raytuner algorithms --install {name}`"
    if folder is None:
        size = download_size(name)
        how_large = "" if size is None else f" ({size / 1e6:,.0f} MB to fetch)"
        return f"runs in an environment of its own, which is not there; {remake}{how_large}"
    if not os.access(folder / "bin" / "python", os.X_OK):
        return f"has an environment of its own in {folder}, which has no bin/python; make it anew by {remake}"
    return None


def python_of(name: str) -> Path:
    """The Python of an algorithm's environment.

    Raises:
        SearchError: There is none, or it is damaged.
    """
    found = problem(name)
    folder = _found(name)
    if found is not None or folder is None:
        raise SearchError(f"search {name!r} {found}")
    return folder / "bin" / "python"


@dataclass(frozen=True)
class Plan:
    """What is to be installed.

    Attributes:
        name: The algorithm.
        lock: What it is made of.
        python: The path of the Python.
        version: Its version, ``3.11``.
        size: The bytes to be fetched.
        packages: How many packages there are.
    """

    name: str
    lock: Lock
    python: str
    version: str
    size: int
    packages: int

    @property
    def hint(self) -> str:
        """How less would have to be fetched."""
        smaller = SYSTEMS[self.name][0]
        size = smaller.size(self.version)
        if smaller == self.lock or size is None:
            return ""
        return f"(only {size / 1e6:,.0f} MB if pip has an index with {smaller.probe}, e.g. by PIP_EXTRA_INDEX_URL)"

    @property
    def folder(self) -> Path:
        """Where the environment goes."""
        return _folder(self.name, self.lock, self.version)


def plan_install(name: str, has: Callable[[str, str], bool]) -> Plan:
    """Choose the lock and the Python.

    Args:
        name: The algorithm.
        has: Says whether the configured index has a requirement for a Python: the path of that and the requirement.

    Raises:
        SearchError: There is no Python or there are no wheels for it.
    """
    for lock in SYSTEMS[name]:
        python, version = _python_for(name, lock)
        size = lock.size(version)
        if size is not None and (not lock.probe or has(python, lock.probe)):
            return Plan(name, lock, python, version, size, lock.packages)
    here = f"Python {RUNNING} on {platform.system()} {platform.machine()}"
    raise SearchError(
        f"search {name!r} has no wheels for {here}; use Python 3.10 to 3.13 on Linux or on a Mac with ARM"
    )


def install(plan: Plan, check: Callable[[Path], None]) -> Path:
    """Make an environment, replacing what is there.

    Args:
        plan: What `plan_install` chose.
        check: Raises a `SearchError` if the algorithm does not run with the Python that it is given.

    Returns:
        The folder.

    Raises:
        SearchError: Something could not be fetched or built, or the check failed.
    """
    folder = plan.folder
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))  # 0700
    except OSError as error:
        raise SearchError(f"cannot write to {folder.parent} ({error.strerror}): set RAYTUNER_CACHE") from None
    try:
        install_locked(plan.name, plan.python, made, plan.lock.files)
        check(made / "bin" / "python")
        manifest = {"name": plan.name, "lock": plan.lock.digest, "python": plan.version}
        (made / MANIFEST).write_text(json.dumps(manifest) + "\n", encoding="utf-8")
        _replace(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder


def _replace(made: Path, folder: Path) -> None:
    """Rename an environment to its place; what was there is moved away first, since a folder cannot be replaced."""
    old = made.with_name(made.name + ".old")
    if folder.exists():
        folder.rename(old)
    made.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _folder(name: str, lock: Lock, version: str) -> Path:
    key = hashlib.sha256(f"{lock.digest} {version}".encode()).hexdigest()
    return cache_folder() / "algorithms" / f"{name}-{key[:12]}"


def _found(name: str) -> Path | None:
    for lock in SYSTEMS[name]:
        for version in lock.pythons or (RUNNING,):
            folder = _folder(name, lock, version)
            if _manifest(folder).get("lock") == lock.digest:
                return folder
    return None


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _python_for(name: str, lock: Lock) -> tuple[str, str]:
    """A Python for a lock and its version; those on the PATH are tried, since one may be only a shim."""
    if not lock.pythons or RUNNING in lock.pythons:
        return sys.executable, RUNNING
    for version in lock.pythons:
        found = shutil.which(f"python{version}")
        if found is not None and python_version(found) == version:
            return found, version
    needed = " or ".join(lock.pythons)
    raise SearchError(
        f"search {name!r} needs Python {needed}, this one is {RUNNING}; put a python{needed[:4]} on the PATH"
    )
