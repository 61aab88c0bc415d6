"""How much memory there is, and a process's share of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raytuner import memory

PHYSICAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
MB = 10**6


def machine(root: Path, groups: str | None, limits: dict[str, str]) -> int:
    """The memory on a machine with those groups and limits."""
    if groups is not None:
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/self/cgroup").write_text(groups)
    for name, limit in limits.items():
        file = root / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{limit}\n")
    return memory.available(root)


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        (None, {}, PHYSICAL),
        ("0::/\n", {}, PHYSICAL),
        ("0::/\n", {"memory.max": "max"}, PHYSICAL),
        ("0::/\n", {"memory.max": str(2 * PHYSICAL)}, PHYSICAL),
        ("0::/\n", {"memory.max": str(300 * MB)}, 300 * MB),
        ("0::/user/job\n", {"user/job/memory.max": "max", "user/memory.max": str(200 * MB)}, 200 * MB),
        ("0::/user\n", {"user/memory.max": str(400 * MB), "other/memory.max": str(MB)}, 400 * MB),
        ("0::/../hidden\n", {"memory.max": str(200 * MB)}, 200 * MB),
        ("5:cpu:/a\n4:memory:/a/b\n0::/\n", {"memory/a/memory.limit_in_bytes": str(100 * MB)}, 100 * MB),
        ("4:cpu,memory:/hidden\n", {"memory/memory.limit_in_bytes": str(100 * MB)}, 100 * MB),
        ("4:memory:/a\n", {"memory/a/memory.limit_in_bytes": "9223372036854771712"}, PHYSICAL),
    ],
)
def test_the_memory_is_the_machines_or_what_a_control_group_allows(
    tmp_path: Path, groups: str | None, limits: dict[str, str], expected: int
) -> None:
    assert machine(tmp_path, groups, limits) == expected


def test_the_processes_of_a_search_share_a_quarter_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_processes", 1)
    monkeypatch.setattr(memory, "available", lambda: 4000 * MB)
    assert memory.for_artefacts() == 1000 * MB
    memory.share_among(5)
    assert memory.for_artefacts() == 200 * MB
    monkeypatch.setattr(memory, "available", lambda: 10**12)
    memory.share_among(2)
    assert memory.for_artefacts() == memory.MOST
