"""How much memory there is, and which part of it a process may fill with what it need not compute again."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

MOST = 2 * 10**9
"""Bytes that one process keeps at the most."""

SHARE = 4
"""All processes of a search together keep a quarter of the memory; the rest is for models and the user's other work."""

_processes = 1


def share_among(processes: int) -> None:
    """Say how many processes of a search there may be on this machine."""
    global _processes  # noqa: PLW0603 - a process works for one search at a time
    _processes = processes


def for_artefacts() -> int:
    """How many bytes this process may keep."""
    return min(MOST, available() // SHARE // _processes)


def available(root: Path = Path("/")) -> int:
    """The bytes of memory of this machine, or what the control groups of this process allow, as in a container.

    Args:
        root: Where ``proc`` and ``sys`` are.
    """
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_limits(root)])


def _limits(root: Path) -> Iterator[int]:
    """The limits of the control groups in which this process is, as far as they can be seen (Linux has them)."""
    for file in _limit_files(root):
        try:
            limit = file.read_text().strip()
        except OSError:
            continue  # a container does not see the groups in which it is
        if limit.isdecimal():  # else "max"
            yield int(limit)


def _limit_files(root: Path) -> Iterator[Path]:
    """Where the limits stand: of each group and of all those above it."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    mounted = root / "sys/fs/cgroup"
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            top, name = mounted, "memory.max"
        elif "memory" in controllers.split(","):
            top, name = mounted / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = top / path.lstrip("/")
        yield from (folder / name for folder in (group, *group.parents) if folder.is_relative_to(top))
