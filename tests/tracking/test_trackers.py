"""What raytuner tells MLflow, Weights & Biases, TensorBoard, Aim and optuna-dashboard, read back by their own means."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from raytuner.tracking.config import TrackConfig
from raytuner.tracking.tracking import Tracking

pytestmark = [pytest.mark.trackers, pytest.mark.timeout(700)]

STATES = {1: "scored", 2: "scored", 3: "stopped", 4: "failed"}
STEPS = {1: [(2, 0.15), (4, 0.25)], 2: [(2, 0.55), (4, 0.675)], 3: [(2, 0.05)], 4: []}
"""Of the search of `conftest.whole`."""


def tracking(**track: Any) -> Tracking:
    return Tracking.of(TrackConfig.model_validate(track))


@pytest.fixture
def port() -> int:
    """A free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextlib.contextmanager
def serving(path: str, *command: str, folder: Path, port: int) -> Iterator[str]:
    """A server on a port, which the command names as PORT; gives its address once the path answers."""
    log = folder / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [part.replace("PORT", str(port)) for part in command],
            cwd=folder,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        )
    try:
        deadline = time.monotonic() + 240
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10).close()
                break
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def tool(name: str) -> str:
    """A command of this environment."""
    return str(Path(sys.executable).with_name(name))


def check_steps(found: dict[int, list[tuple[int, float]]]) -> None:
    assert {number: [step for step, _ in steps] for number, steps in found.items()} == {
        number: [step for step, _ in steps] for number, steps in STEPS.items()
    }
    for number, steps in STEPS.items():
        assert [value for _, value in found[number]] == pytest.approx([value for _, value in steps])


# MLflow


def check_mlflow(client: Any) -> None:
    experiment = client.get_experiment_by_name("raytuner").experiment_id
    runs = client.search_runs([experiment], max_results=100)
    trials = {int(run.data.tags["raytuner.trial"]): run for run in runs if "raytuner.trial" in run.data.tags}
    [search] = [run for run in runs if "raytuner.trial" not in run.data.tags]
    assert sorted(trials) == [1, 2, 3, 4]
    assert {run.data.tags["mlflow.parentRunId"] for run in trials.values()} == {search.info.run_id}
    assert {number: run.data.tags["raytuner.state"] for number, run in trials.items()} == STATES
    assert [trials[number].info.status for number in STATES] == ["FINISHED", "FINISHED", "KILLED", "FAILED"]
    assert trials[3].data.tags["raytuner.reason"] == "behind trial 2"
    assert trials[4].data.params == {"top_k": "4", "prompt": "<text of 46 characters, 7f133c59>"}
    assert trials[1].data.metrics == {"score": 0.25, "questions": 4, "seconds": 2.0}
    history = {number: client.get_metric_history(run.info.run_id, "score") for number, run in trials.items()}
    check_steps({number: [(one.step, one.value) for one in found] for number, found in history.items()})
    assert search.info.run_name == "run"
    assert search.info.status == "FINISHED"
    assert search.data.params["search"] == "grid"
    assert search.data.metrics["best trial"] == 2
    assert search.data.metrics["best score"] == pytest.approx(0.675)
    path = client.download_artifacts(search.info.run_id, "config.yaml")
    assert yaml.safe_load(Path(path).read_text())["pipeline"]["prompt"].startswith("<text of ")


def test_mlflow_in_the_run_folder(tmp_path: Path, whole_search: Callable[..., None]) -> None:
    from mlflow import MlflowClient

    whole_search(tmp_path / "run", lambda: tracking(mlflow={}))
    check_mlflow(MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'run' / 'mlflow.db'}"))


def test_a_server_of_mlflow(
    tmp_path: Path, port: int, whole_search: Callable[..., None], search: Callable[..., Any]
) -> None:
    from mlflow import MlflowClient

    command = [tool("mlflow"), "server", "--host", "127.0.0.1", "--port", "PORT", "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}"]
    command += ["--artifacts-destination", str(tmp_path / "artifacts")]
    with serving("/health", *command, folder=tmp_path, port=port) as address:
        whole_search(tmp_path / "run", lambda: tracking(mlflow=address))
        check_mlflow(MlflowClient(tracking_uri=address))
    gone = search(tmp_path / "other", Tracking(tracking(mlflow=address)._trackers, limit_s=30))
    started = time.monotonic()
    gone.trial(1, 0.1, 0.2, top_k=1)
    assert time.monotonic() - started < 5
    [line] = gone.end()
    assert "mlflow was not told of 1 trial: MlflowException: " in line


# Weights & Biases


def records(path: Path) -> Iterator[Any]:
    """The records of an offline run: protocol buffers in LevelDB's log format, after 7 bytes of its own."""
    from wandb.proto import wandb_internal_pb2

    content = path.read_bytes()
    assert content[:4] == b":W&B"
    at, part = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        part += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4) and part:
            record = wandb_internal_pb2.Record()
            record.ParseFromString(part)
            yield record
            part = b""


def read_wandb(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"history": [], "summary": {}, "config": {}}
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            for field in ("display_name", "run_group", "project", "job_type", "run_id", "host"):
                found[field] = getattr(record.run, field)
            found["config"] |= {one.key: json.loads(one.value_json) for one in record.run.config.update}
        elif kind == "history":
            row = {(one.key or one.nested_key[0]): json.loads(one.value_json) for one in record.history.item}
            found["history"].append((row["_step"], row["score"]))
        elif kind == "summary":
            found["summary"] |= {(o.key or o.nested_key[0]): json.loads(o.value_json) for o in record.summary.update}
    return found


def test_wandb_offline(tmp_path: Path, whole_search: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    whole_search(tmp_path / "run", lambda: tracking(wandb={}))
    files = list((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))
    runs = {found["display_name"]: found for found in map(read_wandb, files)}
    assert len(files) == len(runs) == 5
    assert {found["run_group"] for found in runs.values()} == {"run"}
    assert {found["project"] for found in runs.values()} == {"raytuner"}
    assert {number: runs[f"trial {number}"]["summary"]["state"] for number in STATES} == STATES
    check_steps({number: runs[f"trial {number}"]["history"] for number in STATES})
    assert runs["trial 4"]["config"]["prompt"] == "<text of 46 characters, 7f133c59>"
    assert runs["trial 4"]["summary"]["reason"] == "ValueError: wrong"
    assert runs["trial 1"]["summary"]["score"] == 0.25
    assert runs["run"]["summary"]["best trial"] == 2
    assert b"context_str" not in b"".join(path.read_bytes() for path in files)
    assert not list((tmp_path / "run" / "wandb").glob("**/requirements.txt"))


# TensorBoard


def test_tensorboard(tmp_path: Path, whole_search: Callable[..., None]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    whole_search(tmp_path / "run", lambda: tracking(tensorboard={}))
    found, params = {}, {}
    for number in STATES:
        events = EventAccumulator(str(tmp_path / "run" / "tensorboard" / f"trial-{number}")).Reload()
        has = "score" in events.Tags()["scalars"]
        found[number] = [(one.step, one.value) for one in events.Scalars("score")] if has else []
        content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        info = HParamsPluginData.FromString(content).session_start_info
        params[number] = {name: value.number_value or value.string_value for name, value in info.hparams.items()}
    check_steps(found)
    assert params[2] == {"top_k": 2, "prompt": "short"}
    assert params[4] == {"top_k": 4, "prompt": "<text of 46 characters, 7f133c59>"}
    search = EventAccumulator(str(tmp_path / "run" / "tensorboard" / "search")).Reload()
    assert search.Scalars("search/best_trial")[0].value == 2


def test_more_trials_than_files_may_be_open(
    tmp_path: Path, search: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from raytuner.tracking import tensorboard

    monkeypatch.setattr(tensorboard, "MOST_OPEN", 2)
    own = search(tmp_path / "run", tracking(tensorboard=str(tmp_path / "boards")), {"k": list(range(1, 6))})
    for number in range(1, 6):
        own.begin(number, k=number)
    for _ in range(3):
        for number in range(1, 6):
            own.block(number, 0.5, 0.5)
        time.sleep(0.2)  # so that each block is told by itself
    assert own.end() == []
    events = EventAccumulator(str(tmp_path / "boards" / "run" / "trial-1")).Reload()
    assert [one.step for one in events.Scalars("score")] == [2, 4, 6]


# Aim


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="Aim has no wheels for Python 3.13")
def test_aim(tmp_path: Path, whole_search: Callable[..., None]) -> None:
    from aim import Repo, Run

    whole_search(tmp_path / "run", lambda: tracking(aim={}))
    repo = Repo.from_path(str(tmp_path / "run"))
    found, said = {}, {}
    time.sleep(0.6)  # Aim takes its list of runs for the truth for half a second, whatever was written
    for key in repo.list_all_runs():
        run = Run(key, repo=repo, system_tracking_interval=None, capture_terminal_logs=False, log_system_params=False)
        said[run.name] = {name: run.get(name) for name in ("params", "values", "state", "reason")}
        assert run.experiment == "run"
        if run.name != "search":
            metric = next((one for one in run.metrics() if one.name == "score"), None)
            found[int(run.name.split()[1])] = sorted(metric.values.sparse_numpy()[1]) if metric is not None else []
        run.close()
    assert len(said) == 5
    assert {number: said[f"trial {number}"]["state"] for number in STATES} == STATES
    assert said["trial 4"]["params"] == {"top_k": 4, "prompt": "<text of 46 characters, 7f133c59>"}
    assert said["search"]["values"]["best trial"] == 2
    assert found == {number: pytest.approx(sorted(value for _, value in steps)) for number, steps in STEPS.items()}


# optuna-dashboard


def test_optuna_dashboard_opens_the_study(tmp_path: Path, port: int, whole_search: Callable[..., None]) -> None:
    whole_search(tmp_path / "run", lambda: tracking(optuna={}))
    url = f"sqlite:///{tmp_path / 'run' / 'optuna.db'}"
    command = [tool("optuna-dashboard"), url, "--host", "127.0.0.1", "--port", "PORT"]
    with serving("/api/studies", *command, folder=tmp_path, port=port) as address:

        def get(path: str) -> Any:
            with urllib.request.urlopen(f"{address}{path}", timeout=60) as answer:
                return json.load(answer)

        [summary] = get("/api/studies")["study_summaries"]
        assert summary["study_name"] == "run"
        study = get(f"/api/studies/{summary['study_id']}")
        assert [trial["state"] for trial in study["trials"]] == ["Complete", "Complete", "Pruned", "Fail"]
        assert study["best_trials"][0]["values"] == [pytest.approx(0.675)]
        found = [[(one["step"], one["value"]) for one in trial["intermediate_values"]] for trial in study["trials"]]
        check_steps(dict(enumerate(found, 1)))
        assert {one["name"] for one in study["union_search_space"]} == {"top_k", "prompt"}
        with urllib.request.urlopen(f"{address}/dashboard/", timeout=60) as page:
            assert b"<html" in page.read().lower()


# all of them

KILLED = """
import sys, time
from pathlib import Path

sys.path.insert(0, sys.argv[1])
from conftest import first_half
from raytuner.tracking.config import TrackConfig
from raytuner.tracking.tracking import Tracking

first_half(Path(sys.argv[2]), Tracking.of(TrackConfig.model_validate(sys.argv[3:])))
print("told", flush=True)
time.sleep(600)
"""


def test_a_driver_that_is_killed_and_another_one_that_goes_on(
    tmp_path: Path, goes_on: Callable[[Path, Tracking], None]
) -> None:
    import optuna
    from mlflow import MlflowClient

    names = ["mlflow", "wandb", "tensorboard", "optuna", *(["aim"] if sys.version_info < (3, 13) else [])]
    folder = tmp_path / "run"
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(folder), *names]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert "told\n" in process.stdout  # reads up to that line
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    goes_on(folder, Tracking.of(TrackConfig.model_validate(names)))
    check_mlflow(MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}"))
    study = optuna.load_study(study_name="run", storage=f"sqlite:///{folder / 'optuna.db'}")
    assert [trial.user_attrs["trial"] for trial in study.trials] == [1, 2, 3, 4]
    check_steps({trial.user_attrs["trial"]: sorted(trial.intermediate_values.items()) for trial in study.trials})
    files = list(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert len({path.name for path in files}) == len(files) == 5
    assert sorted(path.name for path in folder.glob("tensorboard/trial-*")) == [f"trial-{n}" for n in STATES]
    assert "aim" not in names or len(list(folder.glob(".aim/meta/chunks/*"))) == 5
