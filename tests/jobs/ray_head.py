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
        gcs: Its own address, for other nodes.
        address: Of its job server.
        token: What it asks for.
        home: The home of its jobs.
        environment: What a client is to have in its environment to submit there.
    """

    gcs: str
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


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a node: this Python first on the path, token on, nothing of the caller's Ray."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    return {**own, **token, "PATH": path, "XDG_DATA_HOME": str(home), **more}


@contextlib.contextmanager
def started(log: Path, variables: dict[str, str], options: dict[str, object]) -> Iterator[subprocess.Popen[bytes]]:
    """A node of Ray for a time, each of its ports a free one."""
    ports = (
        "dashboard-agent-listen-port",
        "dashboard-agent-grpc-port",
        "metrics-export-port",
        "runtime-env-agent-port",
    )
    common = {"node-ip-address": "127.0.0.1", "object-store-memory": 200_000_000}
    given = {**dict(zip(ports, free_ports(len(ports)), strict=True)), **common, **options}
    command = ["ray", "start", "--block", *(f"--{name}={value}" for name, value in given.items())]
    command += ["--head"] if "port" in options else []
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, env=variables, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True, cwd=log.parent
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)


@pytest.fixture(scope="session")
def head() -> Iterator[Head]:
    """A head with two CPUs, token on; nothing of it is left at the end."""
    folder = Path(tempfile.mkdtemp(prefix="rt-", dir="/tmp"))  # short: Ray's sockets lie below
    home, log = folder / "home", folder / "ray.log"
    home.mkdir(mode=0o700)
    gcs, dashboard, client = free_ports(3)
    options = {
        "port": gcs,
        "dashboard-host": "127.0.0.1",
        "dashboard-port": dashboard,
        "ray-client-server-port": client,
        "num-cpus": 2,
        "include-dashboard": "true",
        "temp-dir": folder / "ray",
    }
    address = f"http://127.0.0.1:{dashboard}"
    try:
        with started(log, environment(home, MY_SERVICE_KEY=SECRET_ON_HEAD), options) as process:
            deadline = time.monotonic() + START_S
            while not answers(address, TOKEN):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.5)
            client_environment = {"RAY_API_SERVER_ADDRESS": address, "RAY_AUTH_TOKEN": TOKEN}
            yield Head(f"127.0.0.1:{gcs}", address, TOKEN, home, client_environment)
    finally:
        deadline = time.monotonic() + 10
        while (left := processes_of(folder)) and time.monotonic() < deadline:
            time.sleep(0.5)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def second_node(head: Head) -> Iterator[None]:
    """Another node with one CPU, on this machine, which lacks what the head has in its environment."""
    log = head.home.parent / "node.log"
    with started(log, environment(head.home), {"address": head.gcs, "num-cpus": 1}) as process:
        deadline = time.monotonic() + START_S
        while "will now block" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield
