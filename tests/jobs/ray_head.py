"""One Ray head with a job server, on ports and in folders of its own, for the tests that submit to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

TOKEN = "0123456789abcdef" * 4
SECRET_ON_HEAD = "a-value-that-only-the-nodes-know"
START_S = 60


class Head(NamedTuple):
    """A running head.

    Attributes:
        address: Of its job server.
        token: What it asks for.
        home: The home of its jobs.
        environment: What a client is to have in its environment to submit there.
    """

    address: str
    token: str
    home: Path
    environment: dict[str, str]


def free_ports(number: int) -> list[int]:
    """Ports that nobody uses, none of those from which Ray gives ports to workers."""
    found: set[int] = set()
    while len(found) < number:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        if port > 20_000:
            found.add(port)
    return sorted(found)


def processes_of(folder: Path) -> list[int]:
    """The processes whose command line names a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def answers(address: str, token: str) -> bool:
    request = urllib.request.Request(f"{address}/api/version", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.status == 200
    except (OSError, urllib.error.URLError):
        return False


@pytest.fixture(scope="session")
def head() -> Iterator[Head]:
    """A head with two CPUs, token on; nothing of it is left at the end."""
    folder = Path(tempfile.mkdtemp(prefix="rt-", dir="/tmp"))  # short: Ray's sockets lie below
    (folder / "home").mkdir(mode=0o700)
    gcs, dashboard, agent, agent_grpc, client, metrics, environment_agent = free_ports(7)
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {
        **token,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "RAY_USAGE_STATS_ENABLED": "0",
        "XDG_DATA_HOME": str(folder / "home"),
        "MY_SERVICE_KEY": SECRET_ON_HEAD,
    }
    options = {
        "port": gcs,
        "dashboard-host": "127.0.0.1",
        "dashboard-port": dashboard,
        "dashboard-agent-listen-port": agent,
        "dashboard-agent-grpc-port": agent_grpc,
        "ray-client-server-port": client,
        "metrics-export-port": metrics,
        "runtime-env-agent-port": environment_agent,
        "num-cpus": 2,
        "object-store-memory": 200_000_000,
        "include-dashboard": "true",
        "node-ip-address": "127.0.0.1",
        "temp-dir": folder / "ray",
    }
    command = ["ray", "start", "--head", "--block", *(f"--{name}={value}" for name, value in options.items())]
    with (folder / "ray.log").open("w") as log:
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, cwd=folder
        )
    address = f"http://127.0.0.1:{dashboard}"
    try:
        deadline = time.monotonic() + START_S
        while not answers(address, TOKEN):
            assert process.poll() is None, (folder / "ray.log").read_text()
            assert time.monotonic() < deadline, (folder / "ray.log").read_text()
            time.sleep(0.5)
        yield Head(address, TOKEN, folder / "home", {"RAY_API_SERVER_ADDRESS": address, "RAY_AUTH_TOKEN": TOKEN})
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        deadline = time.monotonic() + 10
        while (left := processes_of(folder)) and time.monotonic() < deadline:
            time.sleep(0.5)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)
