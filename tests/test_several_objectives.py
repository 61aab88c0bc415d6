"""Several objectives and limits, from a tuner to what is shown and kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from raytuner import AsyncParamTuner, ParamTuner, RagObjective, RunResult, TunedResult
from raytuner.errors import ConfigError, DataError, InfeasibleError
from raytuner.goals import Goal
from raytuner.objective import Block, Report
from raytuner.report import SHOWN_OF_FRONT, as_html, as_json, as_text
from raytuner.run_folder import RUN, read_run, write_json
from raytuner.saved_run import load_study, result_of
from raytuner.study import Study

GOALS = [Goal(metric="recall", mode="max"), Goal(metric="tokens", mode="min", limit=1500)]
OBJECTIVES = [goal.model_dump() for goal in GOALS]
FOUND = {1: (0.4, 600.0), 2: (0.1, 50.0), 3: (0.9, 1400.0), 4: (1.0, 2000.0), 5: (0.8, 500.0), 6: (0.95, 1600.0)}


def run(folder: Path, found: dict[int, tuple[float, float]] | None = None) -> Study:
    """A run of trials with a recall and a number of tokens each."""
    described = {"name": "demo", "metric": "recall", "mode": "max", "objectives": OBJECTIVES, "default_trial": 1}
    write_json(folder / RUN, described)
    study = Study("recall", "max", folder, goals=GOALS)
    known = FOUND if found is None else found
    for number, (recall, tokens) in known.items():
        study.start(number, {"top_k": number})
        values = {"q": {"recall": recall, "tokens": tokens}}
        study.report(number, Report({"recall": recall, "tokens": tokens, "mrr": 0.5}, Block(0, values, 0.1)))
        study.finish(number, 1.0)
    failed = len(known) + 1
    study.start(failed, {"top_k": failed})
    study.finish(failed, 1.0, "ValueError: bad")
    return study


@pytest.fixture(params=["here", "read back"])
def result(request: pytest.FixtureRequest, tmp_path: Path) -> TunedResult:
    """The result of `run`, as a search returns it and as it is read back from its folder."""
    study = run(tmp_path)
    if request.param == "here":
        return study.result(default=1)
    return result_of(load_study(tmp_path), read_run(tmp_path))


def trials(results: list[RunResult]) -> list[int | None]:
    return [found.trial for found in results]


def test_the_front_the_knee_and_what_is_beyond_a_limit(result: TunedResult) -> None:
    assert trials(result.pareto) == [3, 5, 2]
    assert result.knee.trial == result.best_run_result.trial == 5
    assert result.best_idx == 0
    assert trials(result.run_results) == [5, 3, 2, 1, 6, 4]
    assert trials(result.beyond_limit) == [6, 4]
    assert result.breaches(result.beyond_limit[0]) == ["tokens 1600.0, more than 1500"]
    assert [failed.trial for failed in result.failed] == [7]
    assert [found.score for found in result.pareto] == [0.9, 0.8, 0.1]


def test_as_json(result: TunedResult) -> None:
    found = as_json(result)
    assert json.loads(json.dumps(found)) == found
    assert found["best"] == found["knee"]
    assert found["knee"] == {
        "trial": 5,
        "params": {"top_k": 5},
        "score": 0.8,
        "metrics": {"recall": 0.8, "tokens": 500.0, "mrr": 0.5},
    }
    assert [entry["params"]["top_k"] for entry in found["pareto"]] == [3, 5, 2]
    assert [(entry["params"]["top_k"], entry["beyond"]) for entry in found["beyond_limit"]] == [
        (6, ["tokens 1600.0, more than 1500"]),
        (4, ["tokens 2000.0, more than 1500"]),
    ]
    assert found["default"]["params"] == {"top_k": 1}


def test_as_text(result: TunedResult) -> None:
    lines = as_text(result, "recall", "max").splitlines()
    assert [line.split() for line in lines[:5]] == [
        ["trial", "top_k", "recall", "tokens"],
        ["3", "3", "0.9000", "1400.0"],
        ["5", "5", "0.8000", "500.0", "knee"],
        ["2", "2", "0.1000", "50.0"],
        ["1", "1", "0.4000", "600.0", "default"],
    ]
    assert lines[6:11] == [
        "Objectives: recall, max; tokens, min, at most 1500",
        "Pareto front: 3 of 6 configurations, dominated by none",
        "Knee: trial 5 has recall 0.8000, tokens 500.0; the default has recall 0.4000, tokens 600.0",
        "That is optimistic: it was chosen by its questions, and was not confirmed on others",
        "  top_k: 5",
    ]
    assert lines[12:15] == [
        "beyond a limit: 2 of 6 configurations",
        "  trial 6: tokens 1600.0, more than 1500",
        "  trial 4: tokens 2000.0, more than 1500",
    ]
    assert "trial 7 failed: ValueError: bad" in lines


def test_a_notebook_gets_the_front(result: TunedResult) -> None:
    shown = as_html(result)
    assert "<th>recall</th><th>tokens</th>" in shown
    assert "<td>knee</td>" in shown
    assert "2000" not in shown


def test_the_default_may_be_the_knee_or_beyond_a_limit(tmp_path: Path) -> None:
    study = run(tmp_path)
    assert "tokens 500.0, the default configuration itself" in as_text(study.result(default=5), "recall", "max")
    [line] = [line for line in as_text(study.result(default=4), "recall", "max").splitlines() if "2000.0  " in line]
    assert line.endswith("default, beyond a limit")


def test_of_a_long_front_some_are_shown_from_end_to_end(tmp_path: Path) -> None:
    study = run(tmp_path, {n: ((n / 60) ** 0.5, 10.0 * n) for n in range(1, 61)})
    result = study.result()
    assert len(result.pareto) == 60
    text = as_text(result, "recall", "max")
    shown = [int(line.split()[0]) for line in text.splitlines() if line[:1].isdigit()]
    assert {1, 60, result.knee.trial} <= set(shown)
    assert SHOWN_OF_FRONT <= len(shown) <= SHOWN_OF_FRONT + 1
    assert f"60 of 60 configurations, {60 - len(shown)} of which are shown by --json alone" in text
    assert len(as_json(result)["pareto"]) == 60


def test_nothing_within_the_limits_is_an_error_that_names_the_nearest(tmp_path: Path) -> None:
    study = run(tmp_path, {1: (0.9, 3000.0), 2: (0.5, 1800.0)})
    assert study.best is None
    with pytest.raises(InfeasibleError) as error:
        study.result()
    assert str(error.value).startswith(
        "none of 2 configurations is within the limits; the nearest, trial 2 (top_k=2), has tokens 1800.0, "
        "more than 1500; loosen the limit, or widen the space; all are in "
    )
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 1


def test_one_objective_with_a_limit() -> None:
    study = Study("tokens", "min", goals=[GOALS[1]])
    for number, tokens in enumerate((1600.0, 900.0, 700.0), 1):
        study.start(number, {"top_k": number})
        study.report(number, Report({"tokens": tokens}))
        study.finish(number, 1.0)
    result = study.result(default=1)
    assert trials(result.run_results) == [3, 2, 1]
    assert trials(result.pareto) == [3]
    found = as_json(result)
    assert "pareto" not in found
    assert "knee" not in found
    assert found["beyond_limit"][0]["params"] == {"top_k": 1}
    text = as_text(result, "tokens", "min")
    assert "default, beyond a limit" in text
    assert "Best: tokens 700.0000, 900.0000 less than the default's" in text


def test_runs_of_before_have_one_metric(tmp_path: Path) -> None:
    study = run(tmp_path)
    write_json(tmp_path / RUN, {"name": "demo", "format": 1, "metric": "mrr", "mode": "max", "default_trial": 2})
    study = load_study(tmp_path)
    assert study.goals == [Goal(metric="mrr", mode="max")]
    result = result_of(study, read_run(tmp_path))
    assert result.best_run_result.score == 0.5
    assert list(as_json(result)) == ["best", "default", "trials", "failed", "stopped", "run", "seconds"]
    assert result.beyond_limit == []


@pytest.mark.parametrize("objectives", [[], {}, 3, [{}], [{"metric": "x", "mode": "up"}], [{"metric": "x"}] * 2])
def test_a_damaged_description(tmp_path: Path, objectives: Any) -> None:
    run(tmp_path)
    write_json(tmp_path / RUN, {"metric": "recall", "mode": "max", "objectives": objectives})
    with pytest.raises(DataError, match=r"run\.json is damaged in (metric, mode or )?objectives"):
        load_study(tmp_path)


def test_a_result_made_by_hand_has_its_best_on_the_front() -> None:
    result = TunedResult(run_results=[RunResult(score=1.0, params={})], best_idx=0)
    assert result.pareto == [result.knee] == [result.best_run_result]
    assert result.beyond_limit == []


# Tuners


def chunks(params: dict[str, Any]) -> dict[str, float]:
    return {"recall": 1 - 1 / params["k"], "tokens": 100.0 * params["k"] * params["waste"]}


async def achunks(params: dict[str, Any]) -> dict[str, float]:
    return chunks(params)


SPACE = {"k": [1, 2, 4, 8, 20], "waste": [1, 2]}


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_grid_reports_its_front(kind: str) -> None:
    options: dict[str, Any] = {"param_dict": SPACE, "objectives": OBJECTIVES}
    tuner = ParamTuner(param_fn=chunks, **options) if kind == "sync" else AsyncParamTuner(aparam_fn=achunks, **options)
    result = tuner.tune()
    assert [found.params for found in result.pareto] == [{"k": k, "waste": 1} for k in (8, 4, 2, 1)]
    assert {found.params["k"] for found in result.beyond_limit} == {8, 20}
    assert len(result.beyond_limit) == 3
    assert result.best_run_result.params == {"k": 4, "waste": 1}  # k = 2 is as far; the first objective decides


def test_objectives_may_be_goals_and_come_from_blocks_and_run_results() -> None:
    def blocks(params: dict[str, Any]) -> Any:
        for question in ("a", "b"):
            yield {question: chunks({**params, "waste": 1})}

    def run_result(params: dict[str, Any]) -> RunResult:
        return RunResult(score=0.0, params=params, metrics=chunks({**params, "waste": 1}))

    for function in (blocks, run_result):
        result = ParamTuner(param_fn=function, param_dict={"k": [1, 2, 4]}, objectives=GOALS).tune()
        assert [found.params["k"] for found in result.pareto] == [4, 2, 1]


@pytest.mark.parametrize(
    "returned", [{"recall": 1.0}, {"recall": 1.0, "tokens": float("nan")}, {"recall": 1.0, "tokens": "9"}, 1.0]
)
def test_what_lacks_an_objective_is_a_failed_trial(returned: Any) -> None:
    result = ParamTuner(
        param_fn=lambda params: chunks({**params, "waste": 1}) if params["k"] == 1 else returned,
        param_dict={"k": [1, 2]},
        objectives=OBJECTIVES,
    ).tune()
    assert len(result.pareto) == len(result.failed) == 1
    assert "tokens" in result.failed[0].summary


def test_a_rag_objective_says_which_way_is_better() -> None:
    rag = RagObjective(
        "builtin:quickstart", "builtin:quickstart", metric="span_recall", retriever="bm25", chunk_size=128
    )
    objectives = [{"metric": "span_recall"}, {"metric": "chunk_tokens"}]
    result = ParamTuner(param_fn=rag, param_dict={"top_k": [1, 3, 9]}, objectives=objectives).tune()
    assert [goal.mode for goal in result.objectives] == ["max", "min"]
    assert [found.params["top_k"] for found in result.pareto] == [9, 3, 1]
    with pytest.raises(ConfigError, match="'span_reacll' is no metric of the objective; did you mean 'span_recall'"):
        ParamTuner(param_fn=rag, param_dict={"top_k": [1]}, objectives=[{"metric": "span_reacll"}]).tune()


def test_a_rag_objective_reports_what_it_is_asked_for() -> None:
    metrics = ["token_f1", "ndcg@5"]
    rag = RagObjective(
        "builtin:quickstart", "builtin:quickstart", metric=metrics, retriever="bm25", embedding="wordllama"
    )
    assert (rag.metric, rag.mode) == ("token_f1", "max")
    assert {"token_f1", "exact_match", "ndcg@5", "ndcg", "span_iou", "chunk_tokens"} <= set(rag.modes)
    result = ParamTuner(
        param_fn=rag, param_dict={"top_k": [1, 5]}, objectives=[{"metric": name} for name in metrics]
    ).tune()
    for found in result.run_results:
        assert set(metrics) <= set(found.metrics)
        assert all(set(metrics) <= set(row) for row in found.questions.values())
        single = RagObjective(
            "builtin:quickstart", "builtin:quickstart", metric="ndcg@5", retriever="bm25", embedding="wordllama"
        )(found.params)
        assert single.score == found.metrics["ndcg@5"]


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"objectives": []}, ConfigError, "name at least one"),
        ({"objectives": OBJECTIVES, "metric": "recall"}, ConfigError, "give one of the two"),
        ({"objectives": OBJECTIVES, "mode": "max"}, ConfigError, "give one of the two"),
        ({"objectives": [OBJECTIVES[0]] * 2}, ConfigError, "'recall' is there twice"),
        ({"objectives": [{"metric": "recall", "limt": 3}]}, ValidationError, "limt"),
    ],
)
def test_mistakes(fields: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ParamTuner(param_fn=chunks, param_dict=SPACE, **fields).tune()
