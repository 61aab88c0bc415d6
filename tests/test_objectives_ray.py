"""Several objectives and limits on Ray, from the command line and from Python, checked against the log."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from raytuner import RayTuneParamTuner
from raytuner.errors import InfeasibleError
from raytuner.saved_run import load_study
from raytuner.trial_log import read_log

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 700
CONFIG: dict[str, Any] = {
    "documents": "builtin:quickstart",
    "questions": "builtin:quickstart",
    "pipeline": {"embedding": "wordllama"},
    "space": {
        "chunk_size": {"choice": [64, 128, 256, 512], "default": 256},
        "retriever": ["vector", "bm25"],
        "top_k": {"choice": [1, 3, 5], "default": 3},
    },
    "objectives": [{"metric": "span_recall"}, {"metric": "chunk_tokens", "limit": LIMIT}],
    "search": {"scheduler": "fifo", "holdout": "none"},  # all trials run to their end, on all questions
}


def raytuner(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "raytuner", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)


def expected_front(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What no other trial of the log dominates, by the definition, best recall first."""
    within = [row for row in rows if row["metrics"]["chunk_tokens"] <= LIMIT]

    def is_dominated(row: dict[str, Any]) -> bool:
        recall, tokens = row["metrics"]["span_recall"], row["metrics"]["chunk_tokens"]
        found = [(other["metrics"]["span_recall"], other["metrics"]["chunk_tokens"]) for other in within]
        return any(a >= recall and b <= tokens and (a, b) != (recall, tokens) for a, b in found)

    front = [row for row in within if not is_dominated(row)]
    return sorted(front, key=lambda row: (-row["metrics"]["span_recall"], row["metrics"]["chunk_tokens"]))


@pytest.mark.parametrize(("search", "trials"), [("optuna", 14), ("hyperopt", 12), ("grid", 24)])
def test_the_front_of_a_run_is_that_of_all_its_trials(search: str, trials: int, tmp_path: Path) -> None:
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(CONFIG))
    done = raytuner(tmp_path, "tune", "both.yaml", "--search", search, "--trials", str(trials), "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    rows = [row for row in read_log(Path(result["run"])).rows if row["kind"] == "trial"]
    assert len(rows) == result["trials"] == trials
    assert result["failed"] == 0

    front = expected_front(rows)
    assert [entry["params"] for entry in result["pareto"]] == [row["params"] for row in front]
    assert [entry["metrics"] for entry in result["pareto"]] == [row["metrics"] for row in front]
    assert result["knee"] == result["best"]
    assert result["knee"] in result["pareto"]
    beyond = [row["params"] for row in rows if row["metrics"]["chunk_tokens"] > LIMIT]
    assert beyond
    assert sorted(map(str, beyond)) == sorted(str(entry["params"]) for entry in result["beyond_limit"])
    assert all("more than 700" in entry["beyond"][0] for entry in result["beyond_limit"])
    assert f"Pareto front: {len(front)} of {trials} configurations" in done.stderr
    assert "beyond a limit: " in done.stderr

    shown = raytuner(tmp_path, "show", "both", "--json")
    assert json.loads(shown.stdout) == {**result, "seconds": json.loads(shown.stdout)["seconds"]}
    best = yaml.safe_load((Path(result["run"]) / "best.yaml").read_text())
    assert best["pipeline"] == {"embedding": "wordllama", **result["knee"]["params"]}
    assert best["objectives"] == CONFIG["objectives"]
    questions = next(iter(load_study(Path(result["run"])).scored)).questions
    assert all({"span_recall", "chunk_tokens"} <= set(values) for values in questions.values())


def test_best_yaml_runs_and_a_limit_that_nothing_keeps_is_said(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(yaml.safe_dump({**CONFIG, "space": {"top_k": [3, 5]}}))
    done = raytuner(tmp_path, "tune", "one.yaml", "--set", "objectives=[{metric: chunk_tokens, limit: 10}]", "--json")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "error: none of 2 configurations is within the limits; the nearest, trial 1 (top_k=3), has" in done.stderr
    assert "Traceback" not in done.stderr
    again = raytuner(tmp_path, "show", "one")
    assert again.returncode == 1
    assert "within the limits" in again.stderr

    done = raytuner(tmp_path, "tune", "one.yaml", "--set", "objectives=[{metric: chunk_tokens, limit: 1700}]", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["best"]["params"] == {"top_k": 3}
    assert [entry["params"] for entry in result["beyond_limit"]] == [{"top_k": 5}]
    assert "pareto" not in result
    rerun = raytuner(tmp_path, "tune", str(Path(result["run"]) / "best.yaml"), "--json", "-q")
    assert rerun.returncode == 0, rerun.stderr
    assert json.loads(rerun.stdout)["best"]["score"] == result["best"]["score"]


def chunks(params: dict[str, Any]) -> dict[str, float]:
    if params["k"] == 3:
        raise ValueError("no")
    return {"recall": 1 - 1 / params["k"], "tokens": 100.0 * params["k"] * params["waste"]}


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("search", ["grid", "optuna"])
def test_the_tuner_takes_objectives(search: str, tmp_path: Path) -> None:
    space = {"k": [1, 2, 3, 4, 8, 20], "waste": [1, 2]}
    objectives = [{"metric": "recall"}, {"metric": "tokens", "mode": "min", "limit": 900}]
    options: dict[str, Any] = {"param_fn": chunks, "param_dict": space, "storage_path": tmp_path, "search": search}
    result = RayTuneParamTuner(objectives=objectives, **options).tune()
    assert [found.params for found in result.pareto] == [{"k": k, "waste": 1} for k in (8, 4, 2, 1)]
    assert len(result.failed) == 2
    assert sorted(found.params["k"] for found in result.beyond_limit) == [8, 20, 20]
    with pytest.raises(InfeasibleError, match="none of 10 configurations"):
        RayTuneParamTuner(objectives=[{"metric": "recall", "limit": 2}], **options).tune()


def test_racing_and_held_out_questions_with_several_objectives(tmp_path: Path) -> None:
    (tmp_path / "race.yaml").write_text(yaml.safe_dump({**CONFIG, "search": {"name": "grid"}}))
    done = raytuner(tmp_path, "tune", "race.yaml", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["trials"] == 24
    assert result["stopped"] > 0
    assert result["best"] == result["knee"]
    trial = result["held_out"]["ties"]
    assert len(trial) == 1
    assert {found["trial"] for found in result["held_out"]["results"]} == {1, *trial}
    rows = [row for row in read_log(Path(result["run"])).rows if row["kind"] == "trial"]
    stopped = [row for row in rows if row["stopped"] is not None]
    assert all("behind" in row["stopped"] or "more than 700" in row["stopped"] for row in stopped)
