"""Runs a search in a cluster, as the job that `raytuner submit` has made: ``python -m raytuner.jobs.keeper``.

The search is a process of its own, ``raytuner tune``; this one looks at the nodes before it, and copies the run folder
to the storage while it runs.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import raytuner
from raytuner.errors import ClusterError, RaytunerError, redact
from raytuner.jobs.order import CONFIG, FILES, Order
from raytuner.jobs.send import jobs_folder, run_folder

if TYPE_CHECKING:
    from raytuner.jobs.storage import Mirror

LOOK_S = 0.25


def main() -> int:
    """Run the job whose package is in the current folder; the exit code is that of ``raytuner tune``.

    It works on a copy: Ray makes the folder anew when another node of the same machine needs it.
    """
    with tempfile.TemporaryDirectory(prefix="raytuner-", ignore_cleanup_errors=True) as scratch:
        here = shutil.copytree(Path.cwd(), Path(scratch).resolve() / "package")
        os.chdir(here)
        try:
            order = Order.read(here)
            check(order)
            return keep(order, here)
        except RaytunerError as error:
            _say(f"error: {redact(str(error))}")
            return error.exit_code
        finally:
            os.chdir("/")  # what is removed is nobody's folder


def check(order: Order) -> None:
    """Refuse a cluster that cannot run the job.

    Raises:
        ClusterError: With what it has and what is needed.
    """
    here = ".".join(platform.python_version_tuple()[:2])
    if here != order.python:
        raise ClusterError(
            f"the cluster runs Python {platform.python_version()}, the package was made with Python {order.python}; "
            f"submit with Python {here}"
        )
    if raytuner.__version__ != order.raytuner:
        raise ClusterError(
            f"the image has raytuner {raytuner.__version__}, the package was made by {order.raytuner}; submit without "
            "--image-has-raytuner, or install the same"
        )
    if lacking := [line for line in order.requirements if not _is_met(line)]:
        raise ClusterError(
            f"node {platform.node()} lacks {', '.join(lacking)}; start Ray in an environment or image where "
            "raytuner's dependencies are installed"
        )
    if order.needs or (order.storage or "").startswith("file://"):
        from raytuner.jobs.nodes import check_nodes

        check_nodes(order.needs, order.storage)


def _is_met(line: str) -> bool:
    """Whether a requirement is installed here."""
    try:
        from packaging.requirements import Requirement

        needed = Requirement(line)
        applies = needed.marker is None or needed.marker.evaluate({"extra": ""})
        return not applies or needed.specifier.contains(version(needed.name), prereleases=True)
    except (PackageNotFoundError, ImportError):
        return False


def keep(order: Order, here: Path) -> int:
    """Run the search, and copy its folder while it runs and when it has ended."""
    mirror: Mirror | None = None
    if order.storage is not None:
        from raytuner.jobs.storage import Mirror

        mirror = Mirror(order.storage)
    parent = jobs_folder() / order.job
    command = ["tune", CONFIG, "--yes", "--set", f"run.folder={parent}"]
    signal.signal(signal.SIGINT, _wait_for_the_search)
    signal.signal(signal.SIGTERM, _wait_for_the_search)
    process = subprocess.Popen([sys.executable, "-m", "raytuner", *command], cwd=here)  # noqa: S603 - our own
    said = ""
    while process.poll() is None:
        time.sleep(LOOK_S)
        folder = run_folder(order.job)
        trouble = mirror.look(folder) if mirror is not None and folder is not None else None
        if trouble is not None and trouble != said:
            said = trouble
            _say(f"the run folder cannot be copied to {order.storage} now: {trouble}; it is tried again")
    _finish(order, here, mirror)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _finish(order: Order, here: Path, mirror: Mirror | None) -> None:
    """The end: paths in the run folder as they are for the user, and the folder copied."""
    folder = run_folder(order.job)
    if folder is None:
        return
    relocate(folder, here, order)
    if mirror is not None:
        mirror.finish(folder)
        _say(f"copied to {mirror.url}/{folder.name}")


def relocate(folder: Path, here: Path, order: Order) -> None:
    """Put the user's own paths into the configs of a run folder, in place of those of the package."""
    from raytuner.run_folder import RUN, write_json
    from raytuner.yaml_text import dump, read

    def placed(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: placed(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [placed(inner) for inner in value]
        if isinstance(value, str):
            for start in (here / FILES, Path(FILES)):
                if Path(value).is_relative_to(start):
                    return str(Path(order.root) / Path(value).relative_to(start))
        return value

    modules = {} if order.modules is None else {"modules": order.modules}
    for path in (folder / CONFIG, folder / "best.yaml"):
        if path.is_file():
            raw = {**placed(read(path.read_text(encoding="utf-8"), str(path))), **modules}
            raw["run"] = {key: value for key, value in raw.get("run", {}).items() if key not in ("folder", "address")}
            path.write_text(dump(raw), encoding="utf-8")
    if (folder / RUN).is_file():
        run = json.loads((folder / RUN).read_text(encoding="utf-8"))
        known = {"base": order.root, "config": {**placed(run.get("config") or {}), **modules}}
        write_json(folder / RUN, {**run, **{key: value for key, value in known.items() if key in run}})


def _wait_for_the_search(_signal: int, _frame: FrameType | None) -> None:
    """Ray signals the search itself too, which ends with what it has; this process waits for it."""


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the log of the job


if __name__ == "__main__":
    sys.exit(main())
