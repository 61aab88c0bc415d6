"""cluster/local.sh with the real Ray: its nodes run trials, nobody gets in without the token, and nothing stays."""

from __future__ import annotations

import json
import os
import re
import shutil
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

SCRIPT = Path(__file__).resolve().parents[2] / "cluster" / "local.sh"
PORTS = SCRIPT.with_name("README.md")
EVERYWHERE = dict.fromkeys(("*", "::", "0.0.0.0"), "all addresses")
TOOLS = Path(sys.executable).parent
pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(240),
    pytest.mark.skipif(sys.platform != "linux", reason="Ray has clusters of several nodes on Linux only"),
]

SEARCH = """
import json, sys, time
import ray
from raytuner import RayTuneParamTuner, RunResult, runtime

def objective(params):
    time.sleep(0.3)
    return RunResult(score=params["x"], params=params, metadata={"node": ray.get_runtime_context().get_node_id()})

runtime.connect(sys.argv[1])
found = RayTuneParamTuner(param_fn=objective, param_dict={"x": list(range(12))}, show_progress=False).tune()
workers = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
print(json.dumps({"workers": workers, "ran": [run.metadata["node"] for run in found.run_results]}))
"""


class Cluster(NamedTuple):
    """A cluster that runs, and the environment of a shell that uses it."""

    folder: Path
    environment: dict[str, str]

    @property
    def address(self) -> str:
        return self.environment["RAY_ADDRESS"]

    @property
    def first_port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def dashboard(self) -> str:
        return self.environment["RAY_API_SERVER_ADDRESS"]

    def run(self, *command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        return run(*command, env={**self.environment, **environment})


def clean() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    return {**kept, "PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}


def run(*command: str | Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


def up(folder: Path, workers: int) -> Cluster:
    done = run(SCRIPT, "up", "--workers", str(workers), "--dir", folder, env=clean())
    assert done.returncode == 0, done.stderr
    shell = f'eval "$({SCRIPT} env --dir {folder})"; env -0'
    lines = run("bash", "-c", shell, env=clean()).stdout.split("\0")
    return Cluster(folder, dict(line.split("=", 1) for line in lines if line))


def down(cluster: Cluster) -> None:
    done = run(SCRIPT, "down", "--dir", cluster.folder, env=clean())
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr


def processes(cluster: Cluster) -> list[str]:
    """All that the cluster has started: what says its folder, has its mark, or is in a session with one that does."""
    listed = run("ps", "-eo", "pid=,sid=,stat=,args=", env=clean()).stdout.splitlines()
    alive = [line.split(maxsplit=3) for line in listed if not line.split()[2].startswith("Z")]
    own = {session for pid, session, _, title in alive if f"{cluster.folder}/" in title or is_marked(pid, cluster)}
    return [title for _, session, _, title in alive if session in own - {str(os.getsid(0))}]


def is_marked(pid: str, cluster: Cluster) -> bool:
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended
        return False
    return f"RAYTUNER_LOCAL_CLUSTER={cluster.folder}".encode() in environment


def status_code(url: str, token: str | None) -> int:
    request = urllib.request.Request(url, headers={} if token is None else {"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Short, as the paths of Ray's sockets must be."""
    scratch = Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))
    yield scratch
    shutil.rmtree(scratch)


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Cluster]:
    made = up(folder / "c", workers=2)
    yield made
    down(made)


def test_trials_run_on_both_workers(cluster: Cluster, tmp_path: Path) -> None:
    script = tmp_path / "search.py"
    script.write_text(SEARCH, encoding="utf-8")
    done = cluster.run(sys.executable, script, cluster.address)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert len(result["workers"]) == 2
    assert len(result["ran"]) == 12
    assert set(result["ran"]) == set(result["workers"])


def test_the_folder_is_closed_to_others(cluster: Cluster) -> None:
    """Ray opens its own folders to all, so the one around them counts."""
    assert cluster.folder.stat().st_mode & 0o777 == 0o700
    assert (cluster.folder / "token").stat().st_mode & 0o777 == 0o600
    assert list((cluster.folder / "ray" / "head").glob("session_*/sockets/raylet"))


@pytest.mark.parametrize("wrong", ["wrong", ""])
def test_ray_refuses_whoever_has_not_the_token(wrong: str, cluster: Cluster, tmp_path: Path) -> None:
    stranger = tmp_path / "token"
    stranger.write_text(wrong or "none")
    right = cluster.run(TOOLS / "ray", "status", "--address", cluster.address)
    assert right.returncode == 0, right.stderr
    mode = "token" if wrong else "disabled"
    refused = cluster.run(
        TOOLS / "ray", "status", "--address", cluster.address, RAY_AUTH_MODE=mode, RAY_AUTH_TOKEN_PATH=str(stranger)
    )
    assert refused.returncode != 0
    assert "InvalidAuthToken" in refused.stderr


def test_a_driver_without_the_token_does_not_get_in(cluster: Cluster) -> None:
    code = "import ray, sys; ray.init(address=sys.argv[1]); print('in')"
    refused = cluster.run(sys.executable, "-c", code, cluster.address, RAY_AUTH_TOKEN="wrong")
    assert refused.returncode != 0
    assert "in" not in refused.stdout.splitlines()


@pytest.mark.parametrize("path", ["/api/version", "/api/jobs/", "/nodes?view=summary"])
def test_the_dashboard_refuses_whoever_has_not_the_token(path: str, cluster: Cluster) -> None:
    url = f"{cluster.dashboard}{path}"
    assert status_code(url, None) == 401
    assert status_code(url, "wrong") == 403
    assert status_code(url, (cluster.folder / "token").read_text()) == 200


def test_a_healthy_node_says_so_without_the_token(cluster: Cluster) -> None:
    """What the Dockerfile's HEALTHCHECK asks, there on Ray's usual port."""
    url = f"http://127.0.0.2:{cluster.first_port + 5}/api/local_raylet_healthz"
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert b"success" in answer.read()


CALLS = {
    "head's store": (0, "/ray.rpc.NodeInfoGcsService/GetAllNodeInfo"),
    "node manager": (3, "/ray.rpc.NodeManagerService/GetNodeStats"),
    "agent": (6, "/ray.rpc.ReporterService/ReportOCMetrics"),
}
"""Calls of gRPC that need no arguments, by who takes them; and the port, from the first one on."""


@pytest.mark.parametrize("server", CALLS)
def test_what_listens_on_all_addresses_refuses_whoever_has_not_the_token(server: str, cluster: Cluster) -> None:
    import grpc

    port, method = CALLS[server]
    token = (cluster.folder / "token").read_text()
    with grpc.insecure_channel(f"127.0.0.1:{cluster.first_port + port}") as channel:
        call = channel.unary_unary(method)
        assert isinstance(call(b"", timeout=10, metadata=[("authorization", f"Bearer {token}")]), bytes)
        for strange in ([], [("authorization", "Bearer wrong")]):
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", timeout=10, metadata=strange)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize(("port", "path"), [(5, "/api/job_agent/jobs/"), (7, "/get_or_create_runtime_env")])
def test_the_agents_refuse_whoever_has_not_the_token(port: int, path: str, cluster: Cluster) -> None:
    assert status_code(f"http://127.0.0.2:{cluster.first_port + port}{path}", None) == 401


def test_each_port_listens_where_the_guide_says(cluster: Cluster) -> None:
    listening: dict[int, set[str]] = {}
    for line in run("ss", "-Hltn", env=clean()).stdout.splitlines():
        host, _, port = line.split()[3].rpartition(":")
        offset = int(port) - cluster.first_port
        if 0 <= offset < 3 * 20:
            host = host.strip("[]").removeprefix("::ffff:")
            where = "loopback" if host.startswith("127.") else EVERYWHERE.get(host, host)
            listening.setdefault(offset, set()).add(where)
    table = re.findall(r"^\|.*\| (\d+) \|.*\| (loopback|all addresses) \|$", PORTS.read_text(), re.MULTILINE)
    head = {int(port): where for port, where in table}
    assert len(head) == 11
    workers = {port + first: where for first in (20, 40) for port, where in head.items() if 3 <= port <= 8}
    assert listening == {port: {where} for port, where in (head | workers).items()}


def test_a_second_cluster_gets_ports_of_its_own_and_ends_alone(cluster: Cluster, folder: Path) -> None:
    """With a job that runs, whose processes Ray puts into a session of their own."""
    second = up(folder / "d", workers=1)
    assert second.address != cluster.address
    sleeping = "import time; time.sleep(299)"
    job = second.run(TOOLS / "ray", "job", "submit", "--no-wait", "--", "python", "-c", sleeping)
    assert job.returncode == 0, job.stderr
    deadline = time.monotonic() + 30
    while not any(title == f"python -c {sleeping}" for title in processes(second)):
        assert time.monotonic() < deadline, processes(second)
        time.sleep(0.5)
    down(second)
    assert processes(second) == []
    assert not second.folder.exists()
    status = run(SCRIPT, "status", "--dir", cluster.folder, env=clean())
    assert status.returncode == 0, status.stdout
    assert "nodes      3 of 3" in status.stdout
