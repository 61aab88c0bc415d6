"""The Ray tuner on a real local Ray, shared by all tests of this file."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ray.experimental import internal_kv

from raytuner import RagObjective, RayTuneParamTuner, RunResult
from raytuner.documents.document import Document
from raytuner.errors import AllTrialsFailedError, ConfigError, SearchError
from raytuner.nodes_ray import Shared, may_grow
from raytuner.saved_run import load_study

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240), pytest.mark.usefixtures("local_ray")]

GRID = {"a": [1, 2, 3], "b": [10, 20]}


def tuner(storage: Path, function: Any, space: dict[str, Any] = GRID, **options: Any) -> RayTuneParamTuner:
    return RayTuneParamTuner(param_fn=function, param_dict=space, storage_path=storage, address="local", **options)


def total(params: dict[str, Any]) -> float:
    return float(params["a"] + params["b"])


def rows(run: str | None) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(run or "") / "log.jsonl").read_text().splitlines()]


def test_full_grid(tmp_path: Path) -> None:
    result = tuner(tmp_path, total).tune()
    assert [run.score for run in result.run_results] == [23, 22, 21, 13, 12, 11]
    assert result.best_run_result.params == {"a": 3, "b": 20}
    assert [run.trial for run in result.run_results] == [6, 4, 2, 5, 3, 1]


def test_it_ends_well_where_another_cluster_has_ended_in_the_process(tmp_path: Path) -> None:
    """Ray's `Cluster`, made for tests, takes the key-value store from its whole process when it is shut down."""
    kept = internal_kv.internal_kv_get_gcs_client()
    internal_kv._internal_kv_reset()
    try:
        assert len(tuner(tmp_path, total, {"a": [1, 2], "b": [10]}).tune().run_results) == 2
    finally:
        internal_kv._initialize_internal_kv(kept)


def test_alone_workers_ask_no_board() -> None:
    """It costs milliseconds for each answer of an LLM, and no node joins a Ray that is this process's own."""
    assert not may_grow()
    alone = Shared.pack([], grows=may_grow())
    assert (alone.board, alone.shelves) == (None, {})


def test_all_slots_are_used_and_workers_reused(tmp_path: Path, local_ray: int) -> None:
    def objective(params: dict[str, Any]) -> dict[str, float]:
        time.sleep(0.05)
        return {"score": params["a"], "pid": os.getpid()}

    result = tuner(tmp_path, objective, {"a": list(range(24))}).tune()
    pids = [run.metrics["pid"] for run in result.run_results]
    assert len(set(pids)) == local_ray
    assert all(pids.count(pid) >= 3 for pid in set(pids))
    assert os.getpid() not in pids


@pytest.mark.parametrize("search", ["random", "optuna", "hyperopt"])
def test_searchers_use_all_slots_even_for_tiny_trials(tmp_path: Path, local_ray: int, search: str) -> None:
    def objective(params: dict[str, Any]) -> dict[str, float]:
        time.sleep(0.02)
        return {"score": -((params["a"] - 7) ** 2), "pid": os.getpid()}

    result = tuner(tmp_path, objective, {"a": list(range(30))}, search=search, num_samples=16).tune()
    assert len(result.run_results) == 16
    assert len({run.params["a"] for run in result.run_results}) == 16
    assert len({run.metrics["pid"] for run in result.run_results}) == local_ray


def test_workers_read_documents_where_ray_keeps_them(tmp_path: Path) -> None:
    def objective(params: dict[str, Any]) -> dict[str, float]:
        (document,) = params["documents"]
        encoded = vars(document)["_encoded"]  # in memory that all workers map, read-only
        return {"score": float(encoded.readonly and "text" not in vars(document)), "length": len(document.text)}

    fixed = {"documents": [Document("a", "word " * 200_000)]}
    result = tuner(tmp_path, objective, {"a": [1, 2]}, fixed_param_dict=fixed).tune()
    assert [(run.score, run.metrics["length"]) for run in result.run_results] == [(1, 1_000_000)] * 2


def test_one_trial_at_a_time(tmp_path: Path) -> None:
    def objective(params: dict[str, Any]) -> dict[str, float]:
        return {"score": params["a"], "pid": os.getpid(), "threads": float(os.environ["OMP_NUM_THREADS"])}

    result = tuner(tmp_path, objective, {"a": list(range(6))}, max_concurrent_trials=1).tune()
    assert len({run.metrics["pid"] for run in result.run_results}) == 1
    assert {run.metrics["threads"] for run in result.run_results} == {float(os.cpu_count() or 1)}


def test_the_workers_share_the_memory(tmp_path: Path, local_ray: int) -> None:
    def objective(params: dict[str, Any]) -> dict[str, float]:
        from raytuner import memory

        memory.MOST = 2 * memory.available()  # else it may be the least
        return {"score": params["a"], "share": memory.available() / memory.for_artefacts()}

    result = tuner(tmp_path, objective, {"a": list(range(6))}).tune()
    assert {round(run.metrics["share"], 3) for run in result.run_results} == {4.0 * local_ray}


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_trial_computes_on_no_more_cores_than_it_has(tmp_path: Path, cpus: int) -> None:
    def objective(params: dict[str, Any]) -> dict[str, float]:
        import numpy as np

        from raytuner.models.minilm import MiniLM

        model, matrix = MiniLM(), np.ones((2000, 2000))
        texts = [f"text {i} of some words " * 20 for i in range(20)]
        model.encode(texts[:1])  # the weights are loaded
        cores = {"score": 1.0}
        for name, work in {"blas": lambda: matrix @ matrix, "onnx": lambda: model.encode(texts)}.items():
            work()
            wall, processor = time.perf_counter(), time.process_time()
            work()
            cores[name] = (time.process_time() - processor) / (time.perf_counter() - wall)
        return cores

    options = {"max_concurrent_trials": 1, "resources_per_trial": {"cpu": cpus}}
    found = tuner(tmp_path, objective, {"a": [1]}, **options).tune().best_run_result.metrics
    assert max(found["blas"], found["onnx"]) < cpus + 0.2


@pytest.mark.parametrize("search", ["grid", "random", "optuna", "hyperopt"])
def test_a_seed_fixes_the_trials_at_concurrency_1(tmp_path: Path, search: str) -> None:
    space = {"a": list(range(12)), "b": {"float": [0, 1], "step": 0.25}}

    def sequence() -> list[dict[str, Any]]:
        found = tuner(tmp_path, total, space, search=search, num_samples=14, seed=3, max_concurrent_trials=1).tune()
        return [run.params for run in sorted(found.run_results, key=lambda run: run.trial or 0)]

    assert sequence() == sequence()


@pytest.mark.parametrize("search", ["grid", "random"])
def test_grid_and_random_are_the_same_at_any_concurrency(tmp_path: Path, search: str) -> None:
    def sequence(concurrency: int) -> dict[int | None, dict[str, Any]]:
        options = {"search": search, "num_samples": 10, "seed": 5, "max_concurrent_trials": concurrency}
        return {
            run.trial: run.params
            for run in tuner(tmp_path, total, {"a": list(range(20)), "b": [1]}, **options).tune().run_results
        }

    assert sequence(1) == sequence(2)


def test_num_samples_caps_the_grid_to_its_first_points(tmp_path: Path) -> None:
    result = tuner(tmp_path, total, num_samples=4).tune()
    assert sorted((run.params["a"], run.params["b"]) for run in result.run_results) == [
        (1, 10),
        (1, 20),
        (2, 10),
        (2, 20),
    ]


def test_a_finite_space_ends_and_says_so(tmp_path: Path) -> None:
    result = tuner(tmp_path, total, search="optuna", num_samples=50).tune()
    assert len(result.run_results) == 6
    assert result.ended is not None
    assert "exhausted" in result.ended


def test_failures_are_kept_and_the_run_goes_on(tmp_path: Path) -> None:
    def objective(params: dict[str, Any]) -> float:
        if params["a"] == 2:
            raise ValueError("two is bad")
        return float("nan") if params["a"] == 3 else 1.0

    result = tuner(tmp_path, objective).tune()
    assert {run.params["a"] for run in result.run_results} == {1}
    assert sorted(failed.params["a"] for failed in result.failed) == [2, 2, 3, 3]
    assert "in objective" in next(failed.error for failed in result.failed if failed.params["a"] == 2)
    assert sum(row.get("error") is not None for row in rows(result.run)) == 4


def test_if_all_fail_the_error_shows_the_first(tmp_path: Path) -> None:
    def objective(params: dict[str, Any]) -> float:
        raise RuntimeError("no such model")

    with pytest.raises(AllTrialsFailedError, match=r"all 6 trials failed.*no such model"):
        tuner(tmp_path, objective).tune()


def test_a_worker_that_dies_is_a_failed_trial(tmp_path: Path) -> None:
    def objective(params: dict[str, Any]) -> float:
        if params["a"] == 2:
            os._exit(1)
        return 1.0

    result = tuner(tmp_path, objective, {"a": [1, 2, 3, 4]}).tune()
    assert sorted(run.params["a"] for run in result.run_results) == [1, 3, 4]
    assert [failed.params["a"] for failed in result.failed] == [2]


def test_coroutine_functions(tmp_path: Path) -> None:
    async def objective(params: dict[str, Any]) -> RunResult:
        await asyncio.sleep(0.001)
        return RunResult(score=total(params), params=params)

    result = RayTuneParamTuner(aparam_fn=objective, param_dict=GRID, storage_path=tmp_path).tune()
    assert result.best_run_result.score == 23


def test_blocks_are_logged_one_by_one(tmp_path: Path) -> None:
    def objective(params: dict[str, Any]) -> Iterator[dict[str, dict[str, float]]]:
        for block in range(3):
            yield {f"q{block}{i}": {"score": params["a"] + block, "other": 1.0} for i in range(2)}

    result = tuner(tmp_path, objective, {"a": [0, 5]}).tune()
    assert result.best_run_result.score == 6
    assert len(result.best_run_result.questions) == 6
    blocks = [row for row in rows(result.run) if row["kind"] == "block" and row["trial"] == 2]
    assert [row["block"] for row in blocks] == [0, 1, 2]
    assert blocks[1]["questions"] == ["q10", "q11"]
    assert blocks[1]["values"]["q10"] == {"score": 6.0, "other": 1.0}
    assert all(row["seconds"] >= 0 for row in blocks)


def test_a_trial_that_fails_in_its_second_block_keeps_the_first(tmp_path: Path) -> None:
    def objective(params: dict[str, Any]) -> Iterator[dict[str, dict[str, float]]]:
        yield {"q1": {"score": 1.0}}
        if params["a"] == 1:
            raise ValueError("second block")
        yield {"q2": {"score": 2.0}}

    result = tuner(tmp_path, objective, {"a": [1, 2]}).tune()
    assert [run.score for run in result.run_results] == [1.5]
    logged = [(row["kind"], row.get("block")) for row in rows(result.run) if row["trial"] == 1]
    assert logged == [("start", None), ("block", 0), ("trial", None)]


def test_fixed_values_are_in_no_file(tmp_path: Path) -> None:
    marker = "MARKER-" + "7f3a" * 8
    documents = [f"document {number} {marker}" for number in range(50)]

    def objective(params: dict[str, Any]) -> RunResult:
        assert len(params["documents"]) == 50
        return RunResult(score=params["a"], params=params, metadata={"documents": params["documents"], "note": marker})

    def failing(params: dict[str, Any]) -> Any:
        if params["a"] == 3:
            raise ValueError(f"cannot parse {params['documents'][7]}")
        return params["documents"][0] * 20 if params["a"] == 1 else 1.0

    started = time.time()
    failed = tuner(tmp_path, failing, {"a": [1, 2, 3]}, fixed_param_dict={"documents": documents}).tune().failed
    summaries = sorted(trial.summary for trial in failed)
    assert summaries[0] == "ValueError: cannot parse <text withheld>"
    assert "score is something of" in summaries[1]
    found = RayTuneParamTuner(
        param_fn=objective, param_dict={"a": [1, 2]}, fixed_param_dict={"documents": documents}, storage_path=tmp_path
    ).tune()
    assert found.best_run_result.params["documents"] is documents
    assert "documents" not in found.best_run_result.metadata
    import ray

    session = Path(ray._private.worker._global_node.get_session_dir_path())  # type: ignore[union-attr]
    files = [path for folder in (tmp_path, session, Path("/tmp")) for path in changed_since(folder, started)]
    assert any(path.name == "log.jsonl" for path in files)
    assert [path for path in files if marker.encode() in path.read_bytes()] == []


def changed_since(folder: Path, started: float) -> Iterator[Path]:
    pattern = "raytuner-*/**/*" if folder == Path("/tmp") else "**/*"
    for path in folder.glob(pattern):
        if (
            path.is_file()
            and not path.is_symlink()
            and path.stat().st_mtime >= started - 1
            and os.access(path, os.R_OK)
        ):
            yield path


def test_inside_a_running_loop(tmp_path: Path) -> None:
    async def cell() -> tuple[float, float]:
        one = tuner(tmp_path, total).tune()
        other = await tuner(tmp_path, total).atune()
        return one.best_run_result.score, other.best_run_result.score

    assert asyncio.run(cell()) == (23, 23)


def test_ray_domains(tmp_path: Path) -> None:
    from ray import tune

    space = {"a": tune.quniform(0, 1, 0.25), "b": tune.randint(1, 4), "c": tune.choice(["x", {"y": 1}])}
    seen = tuner(tmp_path, lambda p: {"score": p["a"], "kind": str(p)}, space, search="random", num_samples=12).tune()
    for run in seen.run_results:
        assert run.params["a"] in (0, 0.25, 0.5, 0.75, 1)
        assert run.params["b"] in (1, 2, 3)
        assert run.params["c"] in ("x", {"y": 1})
    assert len(seen.run_results) == 12


def test_time_budget(tmp_path: Path) -> None:
    def objective(params: dict[str, Any]) -> float:
        time.sleep(0.3)
        return float(params["a"])

    result = tuner(tmp_path, objective, {"a": list(range(200))}, time_budget_s=20).tune()
    assert 0 < len(result.run_results) < 140
    assert result.ended == "the time budget of 20 s is used up"


def test_relative_paths_mean_the_users_folder(tmp_path: Path) -> None:
    here = str(Path.cwd())
    result = tuner(tmp_path, lambda p: {"score": 1.0, "folder": str(Path.cwd())}, {"a": [1]}).tune()
    assert result.best_run_result.metadata["folder"] == here


def test_run_config_dict_of_llamaindex(tmp_path: Path) -> None:
    options = {"name": "guide", "storage_path": str(tmp_path), "verbose": 0, "stop": {"training_iteration": 5}}
    result = RayTuneParamTuner(param_fn=total, param_dict=GRID, run_config_dict=options).tune()
    assert Path(result.run or "").name.startswith("guide-")
    with pytest.raises(ConfigError, match=r"storage_pth.*did you mean 'storage_path'"):
        RayTuneParamTuner(
            param_fn=total, param_dict=GRID, run_config_dict={"storage_pth": "x"}, storage_path=tmp_path
        ).tune()


def test_unknown_algorithm_is_refused_before_a_run_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match="did you mean 'optuna'"):
        tuner(tmp_path, total, search="optna").tune()
    assert list(tmp_path.iterdir()) == []


def test_rag_objective_scores_the_same_here_and_there(tmp_path: Path) -> None:
    objective = RagObjective("builtin:quickstart", "builtin:quickstart", metric="span_f1", embedding="wordllama")
    space = {"chunk_size": [128, 256], "retriever": ["vector", "hybrid"], "top_k": [1, 3]}
    result = tuner(tmp_path, objective, space, metric="span_f1").tune()
    assert len(result.run_results) == 8
    for run in result.run_results:
        here = objective(run.params)
        assert run.score == here.score
        assert run.questions == here.questions
    study = load_study(Path(result.run or ""))
    assert {t.number: t.metrics for t in study.scored} == {r.trial: r.metrics for r in result.run_results}
