from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from raytuner import AsyncParamTuner, ParamTuner, RagObjective, RayTuneParamTuner, RunResult, TunedResult
from raytuner.components import run_token
from raytuner.errors import AllTrialsFailedError, ConfigError, ModelError, SpaceError


def product(params: dict[str, Any]) -> RunResult:
    return RunResult(score=params["a"] * params["b"] + params["offset"], params=params)


def test_param_tuner_tries_the_full_grid_and_sorts_best_first() -> None:
    fixed = {"offset": 10}
    result = ParamTuner(param_fn=product, param_dict={"a": [1, 3, 2], "b": [1, 5]}, fixed_param_dict=fixed).tune()
    assert isinstance(result, TunedResult)
    assert [run.score for run in result.run_results] == [25, 20, 15, 13, 12, 11]
    assert result.best_idx == 0
    assert result.best_run_result.params == {"a": 3, "b": 5, "offset": 10}
    assert result.run is None


def test_trials_run_in_the_order_of_llamaindex() -> None:
    seen = []
    ParamTuner(param_fn=lambda p: seen.append((p["a"], p["b"])) or 0.0, param_dict={"a": [1, 2], "b": [3, 4]}).tune()
    assert seen == [(1, 3), (1, 4), (2, 3), (2, 4)]


def test_fixed_parameters_come_back_by_reference() -> None:
    documents = ["a long document"] * 3
    result = ParamTuner(
        param_fn=lambda p: RunResult(score=p["a"], params=p),
        param_dict={"a": [1]},
        fixed_param_dict={"documents": documents},
    ).tune()
    assert result.best_run_result.params["documents"] is documents


class LlamaIndexRunResult(BaseModel):
    """The fields of `llama_index.experimental.param_tuner.base.RunResult`."""

    score: float
    params: dict[str, Any]
    metadata: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("returned", "score", "metrics"),
    [
        (0.5, 0.5, {"score": 0.5}),
        (3, 3.0, {"score": 3.0}),
        (np.float32(0.25), 0.25, {"score": 0.25}),
        ({"score": 1.5, "latency": 2, "model": "x"}, 1.5, {"score": 1.5, "latency": 2.0}),
        (LlamaIndexRunResult(score=0.75, params={"a": 1}, metadata={"n": 1}), 0.75, {"score": 0.75}),
    ],
)
def test_what_an_objective_may_return(returned: Any, score: float, metrics: dict[str, float]) -> None:
    best = ParamTuner(param_fn=lambda _: returned, param_dict={"a": [1]}).tune().best_run_result
    assert best.score == score
    assert type(best.score) is float
    assert best.metrics == metrics


def test_metadata_and_params_of_a_run_result_are_kept() -> None:
    def objective(params: dict[str, Any]) -> LlamaIndexRunResult:
        return LlamaIndexRunResult(score=1, params={**params, "label": "x"}, metadata={"answers": ["y"]})

    best = ParamTuner(param_fn=objective, param_dict={"a": [1]}).tune().best_run_result
    assert best.params == {"a": 1, "label": "x"}
    assert best.metadata == {"answers": ["y"]}


def test_mode_min_and_another_metric() -> None:
    result = ParamTuner(
        param_fn=lambda p: {"loss": abs(p["a"] - 2), "other": 1}, param_dict={"a": [1, 2, 3]}, metric="loss", mode="min"
    ).tune()
    assert result.best_run_result.params == {"a": 2}
    assert [run.score for run in result.run_results] == [0, 1, 1]


def test_equal_scores_keep_the_order_of_the_trials() -> None:
    result = ParamTuner(param_fn=lambda _: 1.0, param_dict={"a": [3, 1, 2]}).tune()
    assert [run.params["a"] for run in result.run_results] == [3, 1, 2]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None, "high"])
def test_a_score_that_is_no_finite_number_is_a_failed_trial(bad: Any) -> None:
    result = ParamTuner(param_fn=lambda p: bad if p["a"] == 1 else 1.0, param_dict={"a": [1, 2]}).tune()
    assert len(result.run_results) == 1
    assert result.failed[0].params == {"a": 1}
    assert "score" in result.failed[0].summary


def test_a_trial_that_raises_keeps_its_traceback() -> None:
    def objective(params: dict[str, Any]) -> float:
        return 1 / params["a"]

    result = ParamTuner(param_fn=objective, param_dict={"a": [0, 1]}).tune()
    assert [run.params["a"] for run in result.run_results] == [1]
    assert "in objective" in result.failed[0].error
    assert result.failed[0].summary.startswith("ZeroDivisionError")


def test_if_all_fail_the_error_shows_the_first() -> None:
    def objective(params: dict[str, Any]) -> float:
        raise ValueError(f"bad {params['a']}")

    with pytest.raises(AllTrialsFailedError, match=r"all 2 trials failed.*ValueError: bad 7"):
        ParamTuner(param_fn=objective, param_dict={"a": [7, 8]}).tune()


def test_blocks_of_questions_are_averaged() -> None:
    def objective(params: dict[str, Any]) -> Any:
        yield {"q1": {"score": 1.0}, "q2": {"score": 0.0}}
        yield {"q3": {"score": params["a"]}}

    best = ParamTuner(param_fn=objective, param_dict={"a": [0.5]}).tune().best_run_result
    assert best.score == pytest.approx(0.5)
    assert best.questions == {"q1": {"score": 1.0}, "q2": {"score": 0.0}, "q3": {"score": 0.5}}


def test_interrupting_returns_what_is_finished() -> None:
    def objective(params: dict[str, Any]) -> float:
        if params["a"] == 3:
            raise KeyboardInterrupt
        return float(params["a"])

    result = ParamTuner(param_fn=objective, param_dict={"a": [1, 2, 3, 4]}).tune()
    assert result.interrupted
    assert [run.score for run in result.run_results] == [2.0, 1.0]


def test_interrupting_before_anything_is_finished_is_an_interrupt() -> None:
    def objective(_: dict[str, Any]) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ParamTuner(param_fn=objective, param_dict={"a": [1]}).tune()


def test_a_rag_objective_tunes_with_its_own_metric() -> None:
    objective = RagObjective("builtin:quickstart", "builtin:quickstart", metric="span_f4", retriever="bm25")
    space = {"top_k": [1, 3]}
    results = [
        ParamTuner(param_fn=objective, param_dict=space).tune(),
        AsyncParamTuner(aparam_fn=objective, param_dict=space).tune(),
        AsyncParamTuner(aparam_fn=objective.acall, param_dict=space).tune(),
        ParamTuner(param_fn=objective, param_dict=space, metric="span_f4").tune(),
    ]
    for result in results:
        assert result.failed == []
        assert [run.score for run in result.run_results] == [objective(run.params).score for run in result.run_results]
        assert result.best_run_result.metrics["span_f4"] == result.best_run_result.score


def test_missing_weights_are_one_error_before_the_first_trial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAYTUNER_CACHE", str(tmp_path))
    monkeypatch.setenv("RAYTUNER_OFFLINE", "1")
    objective = RagObjective("builtin:quickstart", "builtin:quickstart", metric="span_f4")
    for tuner in (
        ParamTuner(param_fn=objective, param_dict={"top_k": [1]}),
        AsyncParamTuner(aparam_fn=objective, param_dict={"embedding": ["minilm"]}),
    ):
        with pytest.raises(ModelError, match="raytuner models pull minilm"):
            tuner.tune()
    bm25 = {"retriever": "bm25"}
    assert ParamTuner(param_fn=objective, param_dict={"top_k": [1]}, fixed_param_dict=bm25).tune().best_run_result


def test_interrupting_the_async_tuner_returns_what_is_finished() -> None:
    code = (
        "import asyncio, os, signal\n"
        "from raytuner import AsyncParamTuner\n"
        "async def objective(p):\n"
        "    if p['a'] == 3:\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "        await asyncio.sleep(30)\n"
        "    return float(p['a'])\n"
        "result = AsyncParamTuner(aparam_fn=objective, param_dict={'a': [1, 2, 3]}, num_workers=1).tune()\n"
        "print(result.interrupted, [run.score for run in result.run_results])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "True [2.0, 1.0]"


def test_of_a_name_in_both_dicts_the_tuned_value_counts() -> None:
    result = ParamTuner(param_fn=lambda p: float(p["a"]), param_dict={"a": [1, 3]}, fixed_param_dict={"a": 2}).tune()
    assert [(run.score, run.params) for run in result.run_results] == [(3.0, {"a": 3}), (1.0, {"a": 1})]


def test_the_metric_is_found_among_the_metrics_of_a_run_result() -> None:
    def objective(params: dict[str, Any]) -> RunResult:
        return RunResult(score=0.3, params=params, metrics={"recall": params["a"]})

    best = ParamTuner(param_fn=objective, param_dict={"a": [0.1, 0.9]}, metric="recall").tune().best_run_result
    assert (best.score, best.params, best.metrics) == (0.9, {"a": 0.9}, {"recall": 0.9, "score": 0.3})


def test_values_may_be_any_iterable_in_order() -> None:
    space = {"a": (n for n in (1, 2)), "b": {3: "x", 4: "y"}.keys(), "c": range(2), "d": np.array([5, 6])}
    result = ParamTuner(param_fn=lambda p: float(sum(p.values())), param_dict=space).tune()
    assert len(result.run_results) == 16
    assert result.best_run_result.params == {"a": 2, "b": 4, "c": 1, "d": 6}


def test_a_question_in_two_blocks_is_refused() -> None:
    def objective(_: dict[str, Any]) -> Any:
        yield {"q1": {"score": 1.0}}
        yield {"q1": {"score": 0.0}}

    with pytest.raises(AllTrialsFailedError, match="'q1' is in two blocks"):
        ParamTuner(param_fn=objective, param_dict={"a": [1]}).tune()


def test_system_exit_is_a_failed_trial() -> None:
    def objective(params: dict[str, Any]) -> float:
        if params["a"] == 1:
            raise SystemExit("gone")
        return 1.0

    result = ParamTuner(param_fn=objective, param_dict={"a": [1, 2]}).tune()
    assert result.failed[0].summary == "SystemExit: gone"


def test_a_misspelt_field_is_refused() -> None:
    with pytest.raises(ValidationError, match="param_func"):
        ParamTuner(param_func=product, param_dict={"a": [1]})  # type: ignore[call-arg]


def test_a_continuous_parameter_is_no_grid() -> None:
    with pytest.raises(SpaceError, match="step"):
        ParamTuner(param_fn=product, param_dict={"a": {"float": [0, 1]}}).tune()


def test_progress_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    ParamTuner(param_fn=lambda p: float(p["a"]), param_dict={"a": [1, 2]}, show_progress=True).tune()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "2/2" in captured.err


async def doubled(params: dict[str, Any]) -> RunResult:
    await asyncio.sleep(0.01)
    return RunResult(score=2 * params["a"], params=params)


def test_async_tuner() -> None:
    result = AsyncParamTuner(aparam_fn=doubled, param_dict={"a": [1, 2, 3]}).tune()
    assert [run.score for run in result.run_results] == [6, 4, 2]


def test_async_tuner_inside_a_running_loop() -> None:
    async def notebook_cell() -> list[float]:
        tuner = AsyncParamTuner(aparam_fn=doubled, param_dict={"a": [1, 2]})
        return [run.score for run in [*tuner.tune().run_results, *(await tuner.atune()).run_results]]

    assert asyncio.run(notebook_cell()) == [4, 2, 4, 2]


def test_num_workers_bounds_what_is_in_flight() -> None:
    in_flight, most = 0, 0

    async def objective(params: dict[str, Any]) -> float:
        nonlocal in_flight, most
        in_flight += 1
        most = max(most, in_flight)
        await asyncio.sleep(0.01)
        in_flight -= 1
        return float(params["a"])

    AsyncParamTuner(aparam_fn=objective, param_dict={"a": list(range(9))}, num_workers=3).tune()
    assert most == 3


def test_async_failures_are_failed_trials() -> None:
    async def objective(params: dict[str, Any]) -> float:
        return 1 / params["a"]

    result = AsyncParamTuner(aparam_fn=objective, param_dict={"a": [0, 1]}).tune()
    assert [failed.params["a"] for failed in result.failed] == [0]


def test_param_tuner_runs_coroutine_functions() -> None:
    assert ParamTuner(param_fn=doubled, param_dict={"a": [4]}).tune().best_run_result.score == 8


def test_param_tuner_in_a_thread_without_a_loop() -> None:
    scores: list[float] = []
    tuner = ParamTuner(param_fn=doubled, param_dict={"a": [4]})
    thread = threading.Thread(target=lambda: scores.append(tuner.tune().best_run_result.score))
    thread.start()
    thread.join()
    assert scores == [8]


@pytest.mark.parametrize("functions", [{}, {"param_fn": product, "aparam_fn": doubled}])
def test_ray_tuner_wants_exactly_one_objective(functions: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="param_fn or as aparam_fn"):
        RayTuneParamTuner(param_dict={"a": [1]}, **functions).tune()


def test_defaults_of_the_python_tuners() -> None:
    tuner = RayTuneParamTuner(param_fn=product, param_dict={"a": [1]})
    assert (tuner.search, tuner.scheduler, tuner.metric, tuner.mode) == ("grid", "fifo", "score", "max")


def test_each_search_is_a_run_of_its_own_for_code_without_a_version() -> None:
    def token(params: dict[str, Any]) -> RunResult:
        return RunResult(score=1.0, params=params, metadata={"run": run_token()})

    async def atoken(params: dict[str, Any]) -> RunResult:
        return token(params)

    for tuner in (
        ParamTuner(param_fn=token, param_dict={"a": [1, 2]}),
        AsyncParamTuner(aparam_fn=atoken, param_dict={"a": [1, 2]}),
    ):
        runs = [{run.metadata["run"] for run in tuner.tune().run_results} for _ in range(2)]
        assert [len(tokens) for tokens in runs] == [1, 1]
        assert runs[0] != runs[1]
