"""The command line with Ray, each command in a process of its own, as a user runs it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from raytuner.saved_run import load_study

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "raytuner", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    process = start(folder, *arguments, **environment)
    out, err = process.communicate(timeout=280)
    return process.returncode, out, err


def result_of(out: str) -> dict[str, Any]:
    """The one line of stdout."""
    assert out.count("\n") == 1
    found: dict[str, Any] = json.loads(out)
    confirmed = {"winner", "ties", "versus_default", "held_out"}
    assert confirmed <= set(found) or not confirmed & set(found)
    without = [name for name in found if name not in (*confirmed, "robustness", "stopped_trials")]
    assert without == ["best", "default", "trials", "failed", "stopped", "run", "seconds"]
    return found


def check_against_the_readme(printed: str) -> None:
    """Configurations that are in the README's table too have the score that it says, the default among them.

    Which others are tried depends on how fast the workers are, the last digits on the kind of CPU.
    """
    readme = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
    shown = readme.partition("```text\n$ raytuner quickstart\n")[2].partition("```")[0]
    in_readme, here = (
        {tuple(line.split()[1:5]): float(line.split()[5]) for line in text.splitlines() if re.match(r"\d+  ", line)}
        for text in (shown, printed)
    )
    assert len(in_readme) > 5
    common = in_readme.keys() & here.keys()
    assert ("0.1", "512", "vector", "3") in common
    assert {params: here[params] for params in common} == pytest.approx(
        {params: in_readme[params] for params in common}, abs=0.02
    )


def test_quickstart(tmp_path: Path) -> None:
    started = time.perf_counter()
    code, out, err = run(tmp_path, "quickstart", "--json")
    assert code == 0, err
    assert time.perf_counter() - started < 120
    result = result_of(out)
    assert (result["trials"], result["failed"]) == (24, 0)
    assert result["default"]["params"] == {"chunk_overlap": 0.1, "chunk_size": 512, "retriever": "vector", "top_k": 3}
    assert result["best"]["score"] > result["default"]["score"]
    assert result["held_out"]["questions"] == 20
    folder = Path(result["run"])
    assert folder.parent == tmp_path / "runs"
    assert folder.stat().st_mode & 0o077 == 0
    files = {
        ".lock",
        "best.yaml",
        "config.yaml",
        "held_out.json",
        "log.jsonl",
        "questions.json",
        "raytuner.log",
        "run.json",
    }
    assert {path.name for path in folder.iterdir()} == files
    assert "Best:" in err
    check_against_the_readme(err)
    assert "Ray" not in err.replace("RayTune", "")

    code, shown, _ = run(tmp_path, "show", "quickstart", "--json")
    assert code == 0
    assert result_of(shown)["best"] == result["best"]
    code, text, _ = run(tmp_path, "show", str(folder))
    assert f"{result['best']['score']:.4f}" in text

    code, out, err = run(tmp_path, "tune", str(folder / "best.yaml"), "--json", "-q")
    assert code == 0, err
    assert err == ""
    again = result_of(out)
    assert again["trials"] == 1
    assert again["best"]["score"] == result["best"]["score"]


OWN_PARTS = """
from llama_index.core.node_parser import TextSplitter
from llama_index.core.postprocessor.types import BaseNodePostprocessor


class Paragraphs(TextSplitter):
    def split_text(self, text):
        return [paragraph for paragraph in text.split("\\n\\n") if paragraph.strip()]


class Longest(BaseNodePostprocessor):
    least: int = 0

    def _postprocess_nodes(self, nodes, query_bundle=None):
        kept = [node for node in nodes if len(node.text) >= self.least]
        return sorted(kept, key=lambda node: -len(node.text))
"""
OWN_METRIC = """
def found_early(evidence):
    return sum(evidence.relevant[:2]) / 2


def weighted(params):
    return {"hits": params["weight"] * params["depth"]}
"""
OWN_CONFIG = """
documents: docs
questions: questions.jsonl
modules: ../parts
pipeline: {retriever: bm25}
components:
  longest: {path: own_parts.Longest, options: {least: 10}}
space:
  splitter: [sentence, own_parts.Paragraphs]
  reranker: [null, longest]
  top_k: [1, 2, 3]
objective: {metric: own_metric.found_early}
"""
OWN_FUNCTION = """
modules: ../parts
pipeline: {weight: 0.5}
space: {depth: [1, 5, 3]}
objective: {function: own_metric.weighted, metric: hits}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A config whose modules are in a folder of their own, not beside it."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "own_parts.py").write_text(OWN_PARTS)
    (tmp_path / "parts" / "own_metric.py").write_text(OWN_METRIC)
    (tmp_path / "project" / "docs").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    animals = {"owls": "Owls hunt at night. ", "bees": "Bees make honey. ", "moles": "Moles dig tunnels. "}
    for name, fact in animals.items():
        others = "\n\n".join(f"More about {name} and {other}. " * 5 for other in animals)
        (tmp_path / "project" / "docs" / f"{name}.md").write_text(f"{others}\n\n{fact * 4}\n\n{others}\n")
    questions = [
        {"question": f"What do {name} do? {fact}", "answer": fact.strip(), "document": f"{name}.md"}
        for name, fact in animals.items()
    ]
    (tmp_path / "project" / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)))
    return tmp_path / "project"


@pytest.mark.parametrize(("config", "trials"), [(OWN_CONFIG, 12), (OWN_FUNCTION, 3)], ids=["parts", "a function"])
def test_the_best_config_gives_the_best_score_again_with_own_modules(project: Path, config: str, trials: int) -> None:
    (project / "own.yaml").write_text(config)
    elsewhere = project.parent / "elsewhere"
    code, out, err = run(elsewhere, "tune", str(project / "own.yaml"), "--json", "-q")
    assert code == 0, err
    first = result_of(out)
    assert (first["trials"], first["failed"]) == (trials, 0)
    best = elsewhere / "best.yaml"  # it is taken out of the run folder, as a user would keep it
    best.write_text((Path(first["run"]) / "best.yaml").read_text())
    code, out, err = run(project.parent, "tune", str(best), "--json", "-q")
    assert code == 0, err
    again = result_of(out)
    assert (again["trials"], again["failed"]) == (1, 0)
    assert again["best"]["metrics"] == first["best"]["metrics"]
    one, other = (load_study(Path(result["run"])) for result in (first, again))
    assert again["best"]["score"] == first["best"]["score"] > one.scored[-1].metrics[one.metric]
    assert other.scored[0].questions == one.scored[0].questions


def test_the_default_is_trial_1_of_every_algorithm_and_scores_agree(tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        yaml.safe_dump(
            {
                "documents": "builtin:quickstart",
                "questions": "builtin:quickstart",
                "pipeline": {"embedding": "wordllama"},
                "space": {
                    "chunk_size": {"choice": [64, 128, 256], "default": 128},
                    "retriever": ["vector", "bm25", "hybrid"],
                    "fusion_weight": {"float": [0, 1], "step": 0.25, "default": 0.5, "when": {"retriever": "hybrid"}},
                    "top_k": {"int": [1, 6], "default": 3},
                },
                "objective": {"metric": "span_f4"},
            }
        )
    )
    scores: dict[str, float] = {}
    for search in ("grid", "random", "optuna", "hyperopt"):
        code, out, err = run(tmp_path, "tune", str(config), "--search", search, "--trials", "9", "--json", "-q")
        assert code == 0, err
        result = result_of(out)
        study = load_study(Path(result["run"]))
        assert study.trials[1].params == {"chunk_size": 128, "retriever": "vector", "top_k": 3}
        assert result["trials"] == len(study.trials) == 9
        for trial in study.scored:
            key = json.dumps(trial.params, sort_keys=True)
            assert ("fusion_weight" in trial.params) == (trial.params["retriever"] == "hybrid")
            assert scores.setdefault(key, trial.metrics["span_f4"]) == trial.metrics["span_f4"]


def test_ctrl_c_ends_in_seconds_and_keeps_what_is_finished(tmp_path: Path) -> None:
    settings = [
        "--set",
        "space.chunk_size=[40, 50, 60, 70, 80, 90, 100, 110]",
        "--search",
        "grid",
        "--scheduler",
        "fifo",
        "--json",
    ]
    process = start(tmp_path, "quickstart", *settings)
    log = wait_for_trials(tmp_path, 2)
    process.send_signal(signal.SIGINT)
    interrupted = time.perf_counter()
    out, err = process.communicate(timeout=60)
    assert time.perf_counter() - interrupted < 15
    assert process.returncode == 130, err
    assert "Traceback" not in err
    result = result_of(out)
    finished = [row for row in map(json.loads, log.read_text().splitlines()) if row["kind"] == "trial"]
    assert result["trials"] == len(finished) >= 2
    assert "interrupted" in err


def wait_for_trials(folder: Path, count: int) -> Path:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        logs = list(folder.glob("runs/*/log.jsonl"))
        if logs and logs[0].read_text().count('"kind": "trial"') >= count:
            return logs[0]
        time.sleep(0.2)
    raise AssertionError("no trial was finished")


@pytest.mark.parametrize("no_color", ["1", ""])
def test_a_terminal_without_colours_and_the_log_file(tmp_path: Path, no_color: str) -> None:
    never = [
        "--set",
        "pipeline.fusion=weighted",
        "--set",
        "space.fusion_weight={float: [0, 1], when: {fusion: reciprocal_rank}}",
    ]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "raytuner", "quickstart", "--trials", "2", *never],
        cwd=tmp_path,
        env={**os.environ, "TERM": "xterm-256color", "NO_COLOR": no_color},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    text = b"".join(iter(lambda: read(ours), b"")).decode()
    os.close(ours)
    assert process.wait(timeout=10) == 0
    assert "Best:" in text
    assert ("\x1b" in text) is not bool(no_color)  # the live table moves the cursor
    [log] = tmp_path.glob("runs/*/raytuner.log")
    lines = log.read_text().splitlines()
    assert "WARNING fusion_weight is left out" in lines[0]  # said before there was a folder
    assert sum(" INFO trial " in line for line in lines) == 2
    for line in lines:
        assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO|WARNING) ", line)


def read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux's way to say that the other end is closed
        return b""


class Refusing(BaseHTTPRequestHandler):
    """A service that has the model, but answers no question."""

    def do_GET(self) -> None:  # the name is the library's
        self._answer(200, {"data": [{"id": "nothing"}]})

    def do_POST(self) -> None:  # the name is the library's
        self._answer(400, {"error": {"message": "no"}})

    def _answer(self, status: int, value: object) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


def test_if_every_trial_fails_the_exit_code_is_1(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings = ["--set", "objective.metric=token_f1", "--set", "pipeline.llm=openai:nothing", "--trials", "2"]
    address = f"http://127.0.0.1:{server.server_port}/v1"
    code, out, err = run(
        tmp_path, "quickstart", *settings, OPENAI_API_KEY="sk-test-0123456789", OPENAI_BASE_URL=address
    )
    server.shutdown()
    assert code == 1
    assert out == ""
    assert "all 2 trials failed" in err
    assert "Traceback" not in err
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"sk-test-0123456789" not in path.read_bytes()


USERS_OWN_RAY = """
import time, ray
ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
from raytuner import RayTuneParamTuner
def objective(params):
    time.sleep(0.2 if params["a"] < 3 else 60)
    return float(params["a"])
def search(values):
    return RayTuneParamTuner(param_fn=objective, param_dict={"a": values}, storage_path="runs").tune()
result = search([1, 2, 3, 4, 5])
print(result.interrupted, len(result.run_results), ray.is_initialized(), flush=True)
result = search([1, 2])
print(result.interrupted, len(result.run_results), flush=True)
"""


def test_ctrl_c_on_the_users_own_ray_frees_it_for_the_next_search(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", USERS_OWN_RAY], cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    wait_for_trials(tmp_path, 2)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=90)
    assert out.split("\n")[:2] == ["True 2 True", "False 2"]
