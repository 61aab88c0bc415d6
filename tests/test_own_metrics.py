"""Objectives and plans with metrics of the user's own."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raytuner import ParamTuner, RagObjective, SearchSpace, TuneConfig
from raytuner.errors import AllTrialsFailedError, ConfigError, DataError, TrialError, UserError
from raytuner.metrics import Evidence, custom
from raytuner.plan import make_plan, run_plan
from raytuner.plan_text import describe
from raytuner.report import as_json, as_text
from raytuner.run_log import RunLog

QUICKSTART = "builtin:quickstart"
MODULE = """
from raytuner.metrics import custom

@custom(needs="answers", mode="min")
def brevity(evidence):
    return len(evidence.answer)

@custom(needs="llm")
def judged(evidence):
    return len(evidence.answer)

def plain(evidence):
    return len(evidence.contexts)
"""
CONFIG = """
documents: builtin:quickstart
questions: builtin:quickstart
pipeline: {embedding: wordllama, retriever: bm25}
space: {top_k: [1, 2]}
objective: {metric: own_metrics.brevity}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with the user's module, which nothing has imported."""
    (tmp_path / "own_metrics.py").write_text(MODULE, encoding="utf-8")
    yield tmp_path
    sys.modules.pop("own_metrics", None)


def objective(metric: object, **options: object) -> RagObjective:
    options = {"retriever": "bm25", "embedding": "wordllama", **options}
    return RagObjective(QUICKSTART, QUICKSTART, metric=metric, **options)  # type: ignore[arg-type]


def context_characters(evidence: Evidence) -> float:
    assert evidence.question
    return sum(map(len, evidence.contexts))


def test_a_function_is_a_metric() -> None:
    result = objective(context_characters)({"top_k": 2})
    assert result.score == result.metrics["context_characters"] > 100
    assert set(result.metrics) == {"context_characters", "chunk_tokens"}


def test_a_dotted_path_is_imported_when_something_is_scored(folder: Path) -> None:
    rag = objective("own_metrics.plain", folder=folder, top_k=2)
    assert "own_metrics" not in sys.modules
    assert rag.mode is None
    assert rag({}).score == 2
    assert rag.mode == "max"
    assert str(folder) not in sys.path


def test_a_worker_imports_it_by_itself(folder: Path) -> None:
    rag = objective("own_metrics.brevity", folder=folder, block_size=1)
    rag.prepare(SearchSpace.from_dict({"top_k": [1, 2]}))
    sent = pickle.dumps(rag)
    del sys.modules["own_metrics"]
    (values,) = next(pickle.loads(sent).blocks({})).values()
    assert values["own_metrics.brevity"] > 1


def test_it_needs_what_it_says(folder: Path) -> None:
    space = SearchSpace.from_dict({"llm": ["mock", "extractive"]})
    rag = objective("own_metrics.judged", folder=folder)
    assert rag.models(space) == ({"wordllama"}, {"mock"})  # what it may need, as long as it is not imported
    rag.prepare(space)  # what lacks an LLM is not valid, and is skipped
    with pytest.raises(ConfigError, match=r"own_metrics\.judged needs an LLM.*set pipeline\.llm"):
        rag.prepare(SearchSpace.from_dict({"top_k": [1]}))
    with pytest.raises(ConfigError, match="needs an LLM"):
        rag.check({"llm": "extractive"})
    rag.prepare(SearchSpace.from_dict({"llm": ["mock"]}))
    assert rag({"llm": "mock"}).score > 1
    with pytest.raises(DataError, match="answers"):
        RagObjective(QUICKSTART, _without_answers(), metric=custom(needs="answers")(lambda evidence: 1.0))


def _without_answers() -> object:
    from dataclasses import replace

    from raytuner import datasets
    from raytuner.documents.load import load_documents

    questions = datasets.load(QUICKSTART, documents=load_documents(QUICKSTART))
    return replace(questions, questions=tuple(replace(question, answer=None) for question in questions))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (lambda evidence: evidence.nothing, "failed on question 'q.*AttributeError"),
        (lambda evidence: "high", "'high', a str; it must be a number"),
        (lambda evidence: float("nan"), "must be finite"),
        (lambda evidence: None, "None"),
    ],
)
def test_what_is_no_number_fails_the_trial(value: object, reason: str) -> None:
    with pytest.raises(TrialError, match=reason) as error:
        objective(value)({})
    assert "\n" not in str(error.value)
    with pytest.raises(AllTrialsFailedError, match=reason):
        ParamTuner(param_fn=objective(value), param_dict={"top_k": [1]}).tune()  # type: ignore[arg-type]


def test_a_plan_imports_nothing(folder: Path) -> None:
    plan = make_plan(TuneConfig.parse(CONFIG, base=folder))
    assert "own_metrics" not in sys.modules
    assert "own_metrics.brevity (by dotted path, not imported), max unless it says min" in describe(plan)
    assert plan.models == ("wordllama",)  # for extractive answers, which the metric turns out to need
    plan.objective.resolve()
    assert (plan.mode, plan.objective.models(plan.space)) == ("min", ({"wordllama"}, set()))
    assert "own_metrics.brevity, min" in describe(plan)


def test_the_config_decides_the_direction(folder: Path) -> None:
    plan = make_plan(TuneConfig.parse(CONFIG, base=folder, overrides=["objective.mode=max"]))
    assert "not imported), max\n" in describe(plan)
    plan.objective.resolve()
    assert plan.mode == "max"


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("own_metrics.brevitty", "did you mean 'brevity'"),
        ("no_such_module.brevity", "no module 'no_such_module'; install it, or put it beside the config"),
        ("own_metrics.custom.x", "own_metrics"),
        ("own_metrics.judged", "needs an LLM"),
    ],
)
def test_mistakes_are_found_before_ray_starts(folder: Path, metric: str, words: str) -> None:
    config = TuneConfig.parse(CONFIG, base=folder, overrides=[f"objective.metric={metric}"])
    with pytest.raises(UserError, match=words):
        run_plan(make_plan(config, imports=True), RunLog())


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_workers_find_the_module_beside_the_config(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    config = TuneConfig.parse(CONFIG, base=folder, overrides=[f"run.folder={folder / 'runs'}"])
    result = run_plan(make_plan(config, imports=True), RunLog())
    assert not result.failed
    scores = [one.score for one in result.run_results]
    assert scores == sorted(scores)  # the least is the best


def test_a_question_that_a_metric_cannot_score_is_left_out_and_counted() -> None:
    first = RagObjective(QUICKSTART, QUICKSTART).questions.questions[0].id

    def picky(evidence: Evidence) -> float:
        if evidence.question == RagObjective(QUICKSTART, QUICKSTART).questions.questions[0].text:
            raise LookupError("the judge\nis out")
        return context_characters(evidence)

    result = objective(picky, max_failed_questions=0.5)({})
    assert result.failed_questions == {
        first: f"metric picky failed on question {first!r}: LookupError: the judge is out"
    }
    scored = [row["picky"] for question, row in result.questions.items() if question != first]
    assert result.score == pytest.approx(sum(scored) / len(scored))
    tuned = ParamTuner(param_fn=objective(picky, max_failed_questions=0.5), param_dict={"top_k": [1, 2]}).tune()
    assert tuned.failed_questions[first][:2] == (2, 2)
    assert f"question {first!r} could not be scored in all 2 trials; they are left out there: metric picky" in as_text(
        tuned, "picky", "max"
    )
    assert as_json(tuned)["failed_questions"][first]["trials"] == 2
    with pytest.raises(TrialError, match=r"1 of \d+ questions failed, 0% may"):
        objective(picky, max_failed_questions=0.0)({})
    with pytest.raises(ConfigError, match=r"max_failed_questions is 1\.5"):
        objective(picky, max_failed_questions=1.5)
