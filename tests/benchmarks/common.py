"""What the benchmarks share: processes of their own, Ray, goals, and how results are shown."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import multiprocessing
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from raytuner import ray_access
from raytuner.driver import versions
from raytuner.folders import cache_folder
from raytuner.models import weights

HERE = Path(__file__).resolve().parent
SHOWN_ON_FAILURE = 4000


class Row(NamedTuple):
    """One line of a table: a figure and, where there is one, its goal."""

    name: str
    value: str
    goal: str = ""
    met: bool | None = None

    @property
    def verdict(self) -> str:
        return "" if self.met is None else "met" if self.met else "goal missed"


def at_most(name: str, value: float, limit: float, unit: str = "") -> Row:
    return Row(name, figure(value, unit), f"{limit:g}{unit} or less", value <= limit)


def at_least(name: str, value: float, limit: float, unit: str = "") -> Row:
    return Row(name, figure(value, unit), f"{limit:g}{unit} or more", value >= limit)


def exactly(name: str, value: float, wanted: float) -> Row:
    return Row(name, figure(value), f"{wanted:g}", value == wanted)


def figure(value: float, unit: str = "") -> str:
    """A number with as many digits as are worth reading."""
    digits = 0 if value >= 100 or float(value).is_integer() else 1 if value >= 10 else 2
    return f"{value:.{digits}f}{unit}"


def table(title: str, rows: Sequence[Row]) -> str:
    """Rows as text, in columns."""
    cells = [("", "measured", "goal", ""), *((row.name, row.value, row.goal, row.verdict) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([title, *lines])


def show(args: argparse.Namespace, title: str, rows: Sequence[Row], result: Mapping[str, Any]) -> None:
    """Print a table, where it was measured, and with ``--json`` the result as the last line."""
    print(table(title, rows))
    installed = ", ".join(f"{name} {version}" for name, version in versions().items() if version)
    print(f"{platform.system()}, {os.cpu_count()} CPUs; {installed}")
    if args.json:
        print(json.dumps(result))


def parser(description: str | None, *, data: str | None = None) -> argparse.ArgumentParser:
    """The options of a script.

    Args:
        description: The docstring of the script.
        data: What the folder of data holds; None for a script without data.
    """
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if data is not None:
        made.add_argument("--data", type=folder, required=True, metavar="DIR", help=data)
    made.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    return made


def folder(text: str) -> Path:
    path = Path(text).expanduser().resolve()
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no folder; docs/data.md says where the data comes from")
    return path


@contextlib.contextmanager
def cold_cache(*models: str) -> Iterator[Path]:
    """A fresh cache folder that holds nothing but weights.

    Args:
        *models: The models whose weights are needed; they are fetched now, if ever.
    """
    for model in models:
        weights.pull(model)
    with tempfile.TemporaryDirectory(prefix="raytuner-bench-") as made:
        kept = cache_folder() / "models"
        kept.mkdir(parents=True, exist_ok=True)
        (Path(made) / "models").symlink_to(kept.resolve())
        yield Path(made)


def apart(function: Callable[..., Any], *args: Any, cache: Path) -> Any:
    """Call a function in a new process, whose home and current folder are empty.

    What it and its own processes print is kept, and shown if it fails.

    Args:
        function: A function of a module, found there by its name.
        *args: Its arguments.
        cache: raytuner's cache folder there.
    """
    with tempfile.TemporaryDirectory(prefix="raytuner-bench-", ignore_cleanup_errors=True) as home:
        environment = {
            **ray_access.ENVIRONMENT,
            "HOME": home,  # where LlamaIndex's tuner writes, and Ray its token
            "RAYTUNER_CACHE": str(cache),
            "PYTHONPATH": os.pathsep.join(path for path in (str(HERE), *sys.path) if path),
        }
        output = Path(home) / "output.txt"
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, context, initializer=_begin, initargs=(environment, output)) as pool:
            try:
                return pool.submit(_call, module_of(function), function.__name__, args).result()
            except Exception:
                print(output.read_text(encoding="utf-8", errors="replace")[-SHOWN_ON_FAILURE:], file=sys.stderr)
                raise


def module_of(function: Callable[..., Any]) -> str:
    """The module of a function; of the script that runs its own name, under which Ray's workers can import it."""
    if function.__module__ != "__main__":
        return function.__module__
    return Path(str(sys.modules["__main__"].__file__)).stem


def _call(module: str, name: str, args: tuple[Any, ...]) -> Any:
    return getattr(importlib.import_module(module), name)(*args)


def _begin(environment: Mapping[str, str], output: Path) -> None:
    os.environ.update(environment)
    os.chdir(environment["HOME"])
    with output.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)


@contextlib.contextmanager
def local_ray(cpus: int | None = None) -> Iterator[float]:
    """A Ray of this process's own; gives the seconds that ``ray.init`` took.

    Tuners that find themselves connected do not start another one, so that the start is in nobody's time.

    Args:
        cpus: How many CPUs it has; by default those of the machine.
    """
    import ray

    from raytuner import ray_access

    ray_access.prepare()
    started = time.perf_counter()
    ray.init(address="local", num_cpus=cpus, include_dashboard=False, log_to_driver=False)
    seconds = time.perf_counter() - started
    try:
        yield seconds
    finally:
        ray.shutdown()


class Clock:
    """Measures the seconds of a ``with`` block."""

    seconds: float = 0.0

    def __enter__(self) -> Clock:
        self._started = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._started
