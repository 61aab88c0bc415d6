"""Jobs: submitting, following and listing them, against a job server that is made up."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from click.testing import CliRunner

import raytuner
from raytuner import cli_jobs
from raytuner.cli import cli
from raytuner.errors import ClusterError, ConfigError, RaytunerError
from raytuner.jobs import job as module
from raytuner.jobs import submit as submitting
from raytuner.jobs.cluster import Cluster
from raytuner.jobs.job import Job, find, jobs

LOG = "".join(f"line {number}\n" for number in range(40))


class Server:
    """Stands for Ray's client: jobs with states, and a log whose stream may break."""

    def __init__(self) -> None:
        self.jobs: dict[str, Any] = {}
        self.log = LOG
        self.breaks: list[int] = []
        self.status = ["SUCCEEDED"]
        self.away = 0
        self.code: int | None = 0
        self.message = ""

    def submit_job(self, *, entrypoint: str, submission_id: str, runtime_env: Any, metadata: Any) -> str:
        with zipfile.ZipFile(runtime_env["working_dir"]) as package:
            content = {name: package.read(name) for name in package.namelist()}
        self.jobs[submission_id] = SimpleNamespace(
            entrypoint=entrypoint, runtime_env=runtime_env, metadata=metadata, content=content
        )
        return submission_id

    async def tail_job_logs(self, _id: str) -> AsyncIterator[str]:
        end = self.breaks.pop(0) if self.breaks else None
        for start in range(0, len(self.log), 7):
            if end is not None and start > end:
                raise RuntimeError("WebSocket connection closed unexpectedly with close code 1006")
            yield self.log[start : start + 7]

    def get_job_logs(self, _id: str) -> str:
        return self.log

    def get_job_info(self, _id: str) -> Any:
        if self.away:
            self.away -= 1
            raise requests.ConnectionError("refused")
        status = self.status.pop(0) if len(self.status) > 1 else self.status[0]
        return SimpleNamespace(
            status=SimpleNamespace(value=status), driver_exit_code=self.code, message=self.message, metadata={}
        )

    def list_jobs(self) -> list[Any]:
        def row(name: str, run: str | None, start: int) -> Any:
            metadata = None if run is None else {"raytuner": "0.1.0", "raytuner-run": run}
            status = SimpleNamespace(value="RUNNING")
            return SimpleNamespace(
                submission_id=name, metadata=metadata, status=status, start_time=start, end_time=None
            )

        return [row("older", "rag", 1000), row("newer", "rag", 2000), row("not-ours", None, 3000), row(None, "x", 1)]

    def stop_job(self, _id: str) -> bool:
        return True


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    return Server()


@pytest.fixture
def cluster(server: Server) -> Cluster:
    return Cluster("http://head:8265", server, protected=True)


# Following


def test_the_log_comes_once(cluster: Cluster) -> None:
    assert "".join(Job(cluster, "a").follow()) == LOG


@pytest.mark.parametrize("breaks", [[0], [20], [20, 100, 150], [300]])
def test_a_stream_that_breaks_goes_on_where_it_broke(server: Server, cluster: Cluster, breaks: list[int]) -> None:
    server.breaks = breaks
    server.status = ["RUNNING"] * len(breaks) + ["SUCCEEDED"]
    assert "".join(Job(cluster, "a").follow()) == LOG


def test_ctrl_c_ends_a_stream_that_waits() -> None:
    closed: list[bool] = []

    async def waiting() -> AsyncIterator[str]:
        try:
            yield "a line\n"
            asyncio.get_running_loop().call_later(0.1, signal.raise_signal, signal.SIGINT)
            await asyncio.sleep(60)
        finally:
            closed.append(True)

    with pytest.raises(KeyboardInterrupt):
        list(module._pieces(waiting()))
    assert closed == [True]


def test_who_stops_reading_a_stream_closes_it(server: Server, cluster: Cluster) -> None:
    closed: list[bool] = []
    stream = server.tail_job_logs

    async def closing(job: str) -> AsyncIterator[str]:
        try:
            async for piece in stream(job):
                yield piece
        finally:
            closed.append(True)

    server.tail_job_logs = closing  # type: ignore[method-assign]
    log = Job(cluster, "a").follow()
    assert next(log) == LOG[:7]
    log.close()
    assert closed == [True]


def test_what_a_broken_stream_lacks_at_the_end_is_asked_for(server: Server, cluster: Cluster) -> None:
    server.breaks = [50]
    assert "".join(Job(cluster, "a").follow()) == LOG


def test_a_server_that_is_away_for_a_while_is_waited_for(server: Server, cluster: Cluster) -> None:
    server.away = 5
    assert "".join(Job(cluster, "a").follow()) == LOG


def test_a_server_that_stays_away_is_said(server: Server, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    server.away = 10**9
    monkeypatch.setattr(module, "PATIENCE_S", 0)
    with pytest.raises(
        RaytunerError, match=r"no job server answers there .*; the job may go on: raytuner jobs logs a --follow"
    ):
        list(Job(cluster, "a").follow())


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [("SUCCEEDED", 0, 0), ("FAILED", 2, 2), ("FAILED", 1, 1), ("FAILED", None, 1), ("STOPPED", None, 130)],
)
def test_the_exit_code_is_the_jobs(
    server: Server, cluster: Cluster, status: str, code: int | None, expected: int
) -> None:
    server.status, server.code = [status], code
    assert Job(cluster, "a").wait() == expected


def test_waiting_ends_at_a_time(server: Server, cluster: Cluster) -> None:
    server.status = ["RUNNING"]
    with pytest.raises(ClusterError, match="has not ended after 0 s"):
        Job(cluster, "a").wait(timeout=0)


def test_why_ray_could_not_start_a_job_is_one_line(server: Server, cluster: Cluster) -> None:
    server.status, server.code = ["FAILED"], None
    server.message = "Traceback:\n  File x\nRuntimeError: Failed to install py_modules wheel x\n\n"
    assert Job(cluster, "a").reason() == "RuntimeError: Failed to install py_modules wheel x"
    server.code = 1
    assert Job(cluster, "a").reason() is None


# Finding


def test_only_raytuners_own_searches_are_listed(cluster: Cluster) -> None:
    assert [row.id for row in jobs(cluster)] == ["newer", "older"]


def test_a_job_is_found_by_its_id_or_the_name_of_its_run(cluster: Cluster) -> None:
    assert find(cluster, "older").id == "older"
    assert find(cluster, "rag").id == "newer"
    for other in ("not-ours", "nothing", ""):
        with pytest.raises(ClusterError, match="has no job of raytuner's of that id or name; the newest: newer, older"):
            find(cluster, other)


# Submitting


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "rag.yaml"
    path.write_text("documents: builtin:quickstart\nquestions: builtin:quickstart\nspace: {top_k: [1, 2]}\n")
    return path


@pytest.fixture
def connected(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr(submitting, "connect", lambda _: cluster)
    return cluster


def test_what_is_submitted(server: Server, connected: Cluster, config: Path) -> None:
    job = raytuner.submit(config, "http://head:8265", storage="/mnt/runs")
    sent = server.jobs[job.id]
    assert sent.entrypoint == "exec python -m raytuner.jobs.keeper"
    assert set(sent.content) == {"config.yaml", "job.json"}
    assert [Path(path).name for path in sent.runtime_env["py_modules"]] == [
        "raytuner",
        f"raytuner-{raytuner.__version__}.dist-info",
    ]
    assert sent.metadata["raytuner-run"] == "rag"
    assert sent.metadata["raytuner-storage"] == "file:///mnt/runs"
    assert job.id.startswith("raytuner-rag-")


def test_raytuner_is_not_sent_to_an_image_that_has_it(server: Server, connected: Cluster, config: Path) -> None:
    job = raytuner.submit(config, image_has_raytuner=True)
    assert "py_modules" not in server.jobs[job.id].runtime_env


def test_a_value_goes_into_the_environment_only(
    server: Server, connected: Cluster, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_SERVICE", "swordfish-2")
    sent = server.jobs[raytuner.submit(config, env=["MY_SERVICE"], env_from_cluster=["OTHER"]).id]
    variables = sent.runtime_env["env_vars"]
    assert variables["MY_SERVICE"] == "swordfish-2"
    assert variables["RAYTUNER_REDACT"] == "MY_SERVICE,OTHER"
    others = [*sent.content.values(), str(sent.metadata).encode(), sent.entrypoint.encode()]
    assert not any(b"swordfish-2" in part for part in others)


def test_a_value_is_refused_where_anybody_could_read_it(
    server: Server, cluster: Cluster, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submitting, "connect", lambda _: cluster._replace(protected=False))
    monkeypatch.setenv("MY_SERVICE", "swordfish-2")
    with pytest.raises(ConfigError, match=r"--env MY_SERVICE: .* answers without a token") as caught:
        raytuner.submit(config, env=["MY_SERVICE"])
    assert "swordfish" not in str(caught.value)
    assert not server.jobs
    raytuner.submit(config, env_from_cluster=["MY_SERVICE"])
    assert len(server.jobs) == 1


def test_a_variable_that_is_not_set_here_is_refused(config: Path) -> None:
    with pytest.raises(ConfigError, match="--env 'NOT_SET_ANYWHERE': there is no such variable here"):
        raytuner.submit(config, env=["NOT_SET_ANYWHERE"])


@pytest.mark.parametrize("name", ["A B", "", "A=secret-value", "A,B"])
def test_what_is_no_name_of_a_variable_is_refused(config: Path, name: str) -> None:
    for given in ({"env": [name]}, {"env_from_cluster": [name]}):
        with pytest.raises(ConfigError, match="is no name of a variable"):
            raytuner.submit(config, **given)


@pytest.mark.parametrize("most", [0, -1, 501, float("nan")])
def test_a_limit_that_cannot_be_is_refused(config: Path, most: float) -> None:
    with pytest.raises(ConfigError, match="it must be above 0 and at most 500"):
        raytuner.submit(config, max_mb=most)


def test_a_mistake_in_the_config_is_said_before_anything_is_sent(
    server: Server, connected: Cluster, config: Path
) -> None:
    config.write_text(config.read_text().replace("top_k: [1, 2]", "top_k: [1, many]"))
    with pytest.raises(RaytunerError, match=r"rag\.yaml: .*many"):
        raytuner.submit(config)
    assert not server.jobs


def test_what_will_be_run_can_be_refused(server: Server, connected: Cluster, config: Path) -> None:
    def refuse(plan: Any) -> None:
        assert plan.total == 2
        raise ConfigError("too dear")

    with pytest.raises(ConfigError, match="too dear"):
        raytuner.submit(config, confirm=refuse)
    assert not server.jobs


# The command line


@pytest.fixture
def invoke(connected: Cluster, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("raytuner.jobs.cluster.connect", lambda _: connected)
    return lambda *arguments: CliRunner().invoke(cli, arguments, catch_exceptions=False)


def test_submit_follows_and_ends_as_the_job_does(server: Server, invoke: Any, config: Path) -> None:
    server.status, server.code = ["FAILED"], 2
    done = invoke("submit", str(config), "--address", "http://head:8265", "--trials", "1")
    assert done.exit_code == 2
    assert done.stdout == LOG
    assert "FAILED, exit code 2" in done.stderr
    [sent] = server.jobs.values()
    assert b"trials: 1" in sent.content["config.yaml"]


def test_detached_the_id_is_all_that_stdout_has(server: Server, invoke: Any, config: Path) -> None:
    done = invoke("submit", str(config), "--detach", "--address", "http://head:8265")
    [job] = server.jobs
    assert done.exit_code == 0
    assert done.stdout == f"{job}\n"
    for command in ("logs", "stop", "fetch"):
        assert f"raytuner jobs {command} {job}" in done.stderr
    assert done.stderr.count("--address http://head:8265") == 3


def test_ctrl_c_stops_following_only(server: Server, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def pressed(_: Job) -> Any:
        yield "a line\n"
        raise KeyboardInterrupt

    monkeypatch.setattr(Job, "follow", pressed)
    stopped: list[str] = []
    monkeypatch.setattr(Job, "stop", lambda job: stopped.append(job.id))
    with pytest.raises(KeyboardInterrupt, match="the job goes on\nfollow it:  raytuner jobs logs a --follow"):
        cli_jobs._follow(Job(cluster, "a"), None, quiet=True)
    assert not stopped


def test_jobs_are_listed_as_a_table_and_as_json(invoke: Any) -> None:
    done = invoke("jobs", "list")
    assert done.stdout.splitlines()[1].split() == ["newer", "RUNNING", "1970-01-01T00:00:02", "the", "head"]
    with contextlib.redirect_stdout(None):
        done = invoke("jobs", "list", "--json")
    assert '"id": "newer", "status": "RUNNING", "run": "rag", "started": "1970-01-01T00:00:02+00:00"' in done.stdout


def test_the_log_of_a_job_is_printed(invoke: Any) -> None:
    assert invoke("jobs", "logs", "rag").stdout == LOG
