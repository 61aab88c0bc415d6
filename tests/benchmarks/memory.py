"""Memory and disk over the time of a run, sampled beside it (Linux only)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


class Sampler:
    """Measures something again and again while a ``with`` block runs.

    Args:
        measure: Gives the figure.
        every_s: Seconds between two samples.
    """

    def __init__(self, measure: Callable[[], float], every_s: float) -> None:
        self._measure, self._every_s = measure, every_s
        self._samples: list[tuple[float, float]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            self._samples.append((time.time(), self._measure()))
            if self._ended.wait(self._every_s):
                return

    @property
    def peak(self) -> float:
        return max(value for _, value in self._samples)

    def at(self, moment: float) -> float:
        """The last sample that is not after a moment (of `time.time`), else the first one."""
        before = [value for when, value in self._samples if when <= moment]
        return before[-1] if before else self._samples[0][1]


def rss_mb() -> float:
    """Resident memory of this process and its trials on Ray, in MB; what they share counts in each."""
    return sum(map(_rss_mb, [os.getpid(), *_trials()]))


def _trials() -> list[int]:
    """The processes of trials under this one; Ray names a worker after what it runs."""
    mine = _descendants(os.getpid())
    return [pid for pid in mine if _read(pid, "cmdline").startswith("ray::")]


def _descendants(root: int) -> list[int]:
    parents = {int(path.name): _parent(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdecimal()}
    found = [root]
    for pid in found:  # grows while it is walked
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def _parent(pid: int) -> int | None:
    after_name = _read(pid, "stat").rpartition(")")[2].split()
    return int(after_name[1]) if after_name else None


def _rss_mb(pid: int) -> float:
    fields = _read(pid, "statm").split()
    return int(fields[1]) * PAGE_MB if fields else 0.0


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8", errors="replace")
    except OSError:  # it has ended
        return ""


def folder_mb(folder: Path) -> float:
    """The sizes of all files under a folder, in MB."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(place) / name).st_size
            except OSError:  # it has gone
                continue
    return total / 1e6
