"""Nobody reaches the Ray of a search without its token."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

STARTED = """
import sys
from raytuner import runtime
runtime.connect()
import ray
print(ray.get_runtime_context().gcs_address, ray._private.worker._global_node.get_session_dir_path(), flush=True)
sys.stdin.read()
"""
JOINED = """
import sys
from raytuner import runtime
from raytuner.errors import RaytunerError
try:
    runtime.connect(sys.argv[1])
except RaytunerError as error:
    print("refused:", error)
else:
    print("joined")
"""


@pytest.fixture(scope="module")
def started() -> Iterator[tuple[str, str, int]]:
    """The address of a Ray that raytuner has started, its session folder, and the process that has started it."""
    process = subprocess.Popen(
        [sys.executable, "-c", STARTED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    address, folder = process.stdout.readline().split()
    yield address, folder, process.pid
    process.communicate("", timeout=30)


def joined(address: str, **environment: str) -> tuple[str, float]:
    began = time.monotonic()
    command = [sys.executable, "-c", JOINED, address]
    given = {**os.environ, **environment}
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip(), time.monotonic() - began


def test_with_the_token(started: tuple[str, str, int]) -> None:
    assert joined(started[0])[0] == "joined"


@pytest.mark.parametrize("environment", [{"RAY_AUTH_TOKEN": "0" * 64}, {"RAY_AUTH_MODE": "disabled"}])
def test_without_it_there_is_a_clear_error_and_no_hang(
    started: tuple[str, str, int], environment: dict[str, str]
) -> None:
    said, seconds = joined(started[0], **environment)
    assert said.startswith("refused: ")
    assert said.count("\n") == 0
    assert "token" in said.lower()
    assert seconds < 20


def test_its_session_is_private(started: tuple[str, str, int]) -> None:
    assert Path(started[1]).parent.parent.stat().st_mode & 0o077 == 0


def descendants(pid: int) -> set[int]:
    """A process and all that it has started."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening(pid: int) -> Iterator[tuple[str, str]]:
    """The address and port, as the kernel writes them, on which a process listens."""
    sockets = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(str(entry.readlink()))
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                host, _, port = fields[1].partition(":")
                yield host, port


INTERNAL = ("gcs_server", "raylet", "ray::DashboardAgent", "ray::RuntimeEnvAgent", "ray::IDLE", "default_worker.py")
"""What the guide lists as reachable from elsewhere, but for the driver itself."""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_what_listens_beyond_loopback_is_what_the_guide_lists(started: tuple[str, str, int]) -> None:
    loopback = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")
    beyond = {}
    for pid in descendants(started[2]):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        if any(host not in loopback for host, _ in listening(pid)):
            beyond[pid] = command
    assert started[2] in beyond, "the driver takes the answers of workers"
    assert any("gcs_server" in command for command in beyond.values()), beyond
    others = {pid: command for pid, command in beyond.items() if pid != started[2]}
    assert all(any(name in command for name in INTERNAL) for command in others.values()), others
    assert not any("dashboard.py" in command or "ray.util.client" in command for command in others.values())
