"""Submitting to a real job server, as a user does: every command is a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray_head import SECRET_ON_HEAD, TOKEN, Head, second_node

import raytuner
from raytuner.saved_run import load_study

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240)]

RAG = """
documents: docs
questions: questions.jsonl
pipeline: {splitter: own_parts.Paragraphs, retriever: bm25}
space: {top_k: {int: [1, 4]}, bm25_k1: {float: [0.5, 2.0], step: 0.5}}
search: {holdout: none}
objective: {metric: own_parts.found}
"""
OWN_PARTS = """
from llama_index.core.node_parser import TextSplitter

import own_helper


class Paragraphs(TextSplitter):
    def split_text(self, text):
        return own_helper.paragraphs(text)


def found(evidence):
    return sum(evidence.relevant[:2]) / 2
"""
OWN_HELPER = """
def paragraphs(text):
    return [part for part in text.split("\\n\\n") if part.strip()]
"""
SLOW = """
objective: {function: slow.score}
space: {a: {int: [1, 1000]}}
search: {name: random, trials: 200, concurrency: 1}
"""
SLOW_MODULE = """
import os, time

def score(params):
    time.sleep(0.5)
    print("the secret is", os.environ.get("A_SERVICE"), os.environ.get("MY_SERVICE_KEY"))
    if params["a"] == 0:
        raise ValueError(f"refused: {os.environ['A_SERVICE']}")
    return float(params["a"])
"""
VALUE = "swordfish-that-nobody-sees"


def start(folder: Path, head: Head, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "raytuner", *arguments],
        cwd=folder,
        env={**os.environ, **head.environment, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(folder: Path, head: Head, *arguments: str, **environment: str) -> tuple[int, str, str]:
    process = start(folder, head, *arguments, **environment)
    out, err = process.communicate(timeout=150)
    return process.returncode, out, err


def refused(folder: Path, head: Head, *arguments: str, **environment: str) -> str:
    """The one line by which a command is refused, within ten seconds."""
    started = time.monotonic()
    code, out, err = run(folder, head, *arguments, **environment)
    assert (code, out) == (2, ""), err
    assert time.monotonic() - started < 10
    [line] = [line for line in err.splitlines() if line.startswith("error:")]
    assert "Traceback" not in err
    return line


def job_of(err: str) -> str:
    [line] = [line for line in err.splitlines() if line.startswith("job raytuner-") and line.count(" ") == 1]
    return line.removeprefix("job ")


def details(head: Head, job: str) -> Any:
    from raytuner.jobs.cluster import connect

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_TOKEN", TOKEN)
        return connect(head.address).client.get_job_info(job)


def scores(run_folder: Path) -> dict[str, float]:
    """The score of each configuration."""
    study = load_study(run_folder)
    return {json.dumps(trial.params, sort_keys=True): trial.metrics[study.metric] for trial in study.scored}


def files_with(value: str, folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and value.encode() in path.read_bytes()]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Two configs: a pipeline with parts of its own, and an objective that takes its time."""
    (tmp_path / "docs").mkdir()
    topics = ("leave", "travel", "pay", "training", "hardware", "insurance")
    for name in topics:
        paragraphs = [f"Paragraph {number} of {name} says {name} {number * 7}." for number in range(6)]
        (tmp_path / "docs" / f"{name}.md").write_text("\n\n".join(paragraphs) + "\n")
    questions = [
        {"question": f"What does paragraph {number} say of {name}?", "answer": f"{number}", "document": f"{name}.md"}
        for name in topics
        for number in range(3)
    ]
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in questions))
    texts = {"rag.yaml": RAG, "own_parts.py": OWN_PARTS, "own_helper.py": OWN_HELPER, "slow.yaml": SLOW}
    for name, text in {**texts, "slow.py": SLOW_MODULE, ".env": f"A_SERVICE={VALUE}"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


# Following, fetching


def test_a_search_on_the_cluster_gives_what_it_gives_here(head: Head, project: Path) -> None:
    options = ("--search", "random", "--trials", "6", "--seed", "3", "--scheduler", "fifo")
    code, out, err = run(project, head, "submit", "rag.yaml", *options)
    assert code == 0, (out, err)
    assert "Best: own_parts.found" in out
    assert "package: 11 files" in err
    assert "is lost with it" in err
    job = job_of(err)

    code, out, err = run(project, head, "jobs", "fetch", job)
    assert code == 0, err
    [fetched] = (project / "runs").iterdir()
    code, _, err = run(project, head, "tune", "rag.yaml", *options, "--set", "run.folder=here", "--quiet")
    assert code == 0, err
    [here] = (project / "here").iterdir()
    assert scores(fetched) == scores(here)
    assert len(scores(here)) == 6
    assert {path.name for path in fetched.iterdir()} == {path.name for path in here.iterdir()} - {".lock"}
    code, _, err = run(project, head, "resume", str(fetched), "--trials", "1", "--quiet")
    assert code == 0, err
    assert len(scores(fetched)) == 7

    assert yaml.safe_load((fetched / "best.yaml").read_text())["documents"]["path"] == [str(project / "docs")]
    code, out, err = run(project, head, "tune", str(fetched / "best.yaml"), "--json", "--quiet")
    assert code == 0, err
    assert json.loads(out)["best"]["score"] == max(scores(here).values())
    assert f"runs/{fetched.name} is there already" in refused_fetch(project, head, job)


def test_an_address_of_ray_client_runs_all_of_it_there(head: Head, project: Path) -> None:
    options = ("--trials", "2", "--search", "random", "--json", "--address", f"ray://{head.gcs}")
    code, out, err = run(project, head, "tune", "rag.yaml", *options)
    assert code == 0, (out, err)
    result = json.loads(out)
    assert f"at {head.address}" in err
    [fetched] = (project / "runs").iterdir()
    assert project / result["run"] == fetched
    assert result["best"]["score"] == max(scores(fetched).values())


def refused_fetch(folder: Path, head: Head, job: str) -> str:
    code, _, err = run(folder, head, "jobs", "fetch", job)
    assert code == 2
    return err


def test_the_packaged_quickstart_runs_from_python(head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in head.environment.items():
        monkeypatch.setenv(name, value)
    quickstart = Path(raytuner.__file__).parent / "data" / "quickstart.yaml"
    overrides = ["search.trials=2", "pipeline.embedding=wordllama"]
    job = raytuner.submit(raytuner.TuneConfig.load(quickstart, overrides), storage=str(tmp_path / "storage"))
    assert job.status() in ("PENDING", "RUNNING")
    assert job.wait(timeout=150) == 0, job.logs()
    assert job.status() == "SUCCEEDED"
    [copied] = (tmp_path / "storage").iterdir()
    [on_head] = (head.home / "raytuner" / "jobs" / job.id).iterdir()
    assert len(scores(copied)) == 2
    for path in (path for path in on_head.iterdir() if path.name != ".lock"):
        assert (copied / path.name).read_bytes() == path.read_bytes()
    assert f"copied to file://{copied}" in job.logs()
    assert job.stop() is False


# Stopping, storage, secrets


def test_a_job_that_is_stopped_keeps_what_it_has_and_no_secret(head: Head, project: Path) -> None:
    storage = project / "storage"
    options = ("--storage", str(storage), "--env", "A_SERVICE", "--env-from-cluster", "MY_SERVICE_KEY")
    code, out, err = run(project, head, "submit", "slow.yaml", "--detach", *options, A_SERVICE=VALUE)
    assert code == 0, err
    job = out.strip()
    assert f"raytuner jobs stop {job}" in err

    def copied() -> list[str]:
        return [line for path in storage.glob("*/log.jsonl") for line in path.read_text().splitlines()]

    deadline = time.monotonic() + 90
    while sum('"kind": "trial"' in line for line in copied()) < 2:
        assert time.monotonic() < deadline, run(project, head, "jobs", "logs", job)
        time.sleep(0.5)
    assert details(head, job).status == "RUNNING"  # the log was there before the end

    code, out, err = run(project, head, "jobs", "stop", "slow")
    assert (code, out) == (0, f"{job}: stopped\n"), err
    code, out, err = run(project, head, "jobs", "logs", job, "--follow")
    assert code == 130, err
    assert "Best: score" in out
    assert "copied to file://" in out
    [folder] = storage.iterdir()
    assert json.loads((folder / "run.json").read_text())["interrupted"] is True
    assert all(json.loads(line) for line in copied())

    found = details(head, job)
    assert found.runtime_env["env_vars"]["A_SERVICE"] == VALUE  # which is why --env needs a token
    for value in (VALUE, SECRET_ON_HEAD):
        assert not files_with(value, storage)
        assert not files_with(value, head.home)
        assert value not in out + err + json.dumps(found.metadata) + found.entrypoint
    code, out, _ = run(project, head, "jobs", "list", "--json")
    assert {row["id"]: row["status"] for row in json.loads(out)}[job] == "STOPPED"


def test_an_error_that_quotes_a_secret_is_logged_without_it(head: Head, project: Path) -> None:
    options = ("--set", "space.a=[0]", "--set", "search.trials=1", "--env", "A_SERVICE")
    code, out, err = run(project, head, "submit", "slow.yaml", *options, A_SERVICE=VALUE)
    assert code == 1, err
    assert "refused: <A_SERVICE>" in out
    assert VALUE not in out + err
    assert not files_with(VALUE, head.home)


def test_ctrl_c_stops_following_and_the_job_goes_on(head: Head, project: Path) -> None:
    process = start(project, head, "submit", "slow.yaml")
    assert process.stderr is not None
    assert process.stdout is not None
    job = ""
    while not job:
        line = process.stderr.readline()
        assert line, "it has ended"
        job = line.split()[1] if line.startswith("job raytuner-") else ""
    while "trials: 200" not in process.stdout.readline():
        pass
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted: the job goes on" in err
    assert f"raytuner jobs logs {job} --follow" in err
    assert "Traceback" not in err
    assert details(head, job).status == "RUNNING"
    assert run(project, head, "jobs", "stop", job)[0] == 0


def test_a_search_uses_all_nodes_and_each_is_asked_for_what_it_needs(head: Head, project: Path) -> None:
    """Nodes of one machine share Ray's folder for what a job brings, and each makes it anew."""
    (project / "slow.py").write_text(
        "import os, time\ndef score(params):\n    time.sleep(1)\n"
        "    return {'score': params['a'], 'on_head': float('MY_SERVICE_KEY' in os.environ)}\n"
    )
    options = ("--trials", "12", "--set", "search.concurrency=3")
    with second_node(head):
        for out_folder in ("first", "second"):
            code, out, err = run(project, head, "submit", "slow.yaml", *options)
            assert code == 0, (out, err)
            assert run(project, head, "jobs", "fetch", "slow", "--out", out_folder)[0] == 0
            [fetched] = (project / out_folder).iterdir()
            assert {trial.metrics["on_head"] for trial in load_study(fetched).scored} == {0.0, 1.0}
        code, out, err = run(project, head, "submit", "slow.yaml", "--env-from-cluster", "MY_SERVICE_KEY")
        assert code == 2
        assert "lacks MY_SERVICE_KEY in its environment" in out


# Refused


def test_a_wrong_token_and_none(head: Head, project: Path) -> None:
    for command in (("submit", "rag.yaml"), ("jobs", "list"), ("jobs", "logs", "x"), ("jobs", "fetch", "x")):
        line = refused(project, head, *command, RAY_AUTH_TOKEN="wrong-token")
        assert "the cluster refuses the token; give the cluster's token by RAY_AUTH_TOKEN" in line
        assert "wrong-token" not in line
        line = refused(project, head, *command, RAY_AUTH_TOKEN="", HOME=str(project))
        assert "the cluster wants a token, and there is none here" in line


def test_a_document_beyond_the_limit(head: Head, project: Path) -> None:
    (project / "docs" / "large.txt").write_bytes(b"many words " * 200_000)
    line = refused(project, head, "submit", "rag.yaml", "--max-mb", "1")
    assert f"its largest file is {project}/docs/large.txt with 2.2 MB" in line


def test_what_the_nodes_lack_ends_the_job_with_one_line(head: Head, project: Path) -> None:
    code, out, err = run(project, head, "submit", "slow.yaml", "--env-from-cluster", "NOT_ON_THE_NODES")
    assert code == 2, (out, err)
    [line] = [line for line in out.splitlines() if line.startswith("error:")]
    assert "lacks NOT_ON_THE_NODES in its environment; set it there before Ray is started" in line
    assert "Traceback" not in out + err
    message = refused_fetch(project, head, job_of(err))
    assert "has no run folder on the head: it ended before its search began" in message


def test_resources_that_no_node_has_are_named_with_what_there_is(head: Head, project: Path) -> None:
    code, out, err = run(project, head, "submit", "slow.yaml", "--set", "run.resources={cpu: 1, tpu: 2}")
    assert code == 2, (out, err)
    [line] = [line for line in out.splitlines() if line.startswith("error:")]
    assert "'tpu': 2" in line
    assert "the nodes have [{" in line


def test_a_storage_that_a_node_cannot_write(head: Head, project: Path) -> None:
    code, out, err = run(project, head, "submit", "slow.yaml", "--storage", "/proc/runs")
    assert code == 2, (out, err)
    [line] = [line for line in out.splitlines() if line.startswith("error:")]
    assert line.startswith(f"error: storage file:///proc/runs cannot be used on node {os.uname().nodename}: ")


def test_a_job_that_is_unknown(head: Head, project: Path) -> None:
    for command in ("logs", "stop", "fetch"):
        assert "has no job of raytuner's of that id or name" in refused(project, head, "jobs", command, "no-such-job")
