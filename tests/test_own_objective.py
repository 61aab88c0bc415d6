"""Objectives of the user's own, named in a config."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from raytuner import ParamTuner, TuneConfig
from raytuner.errors import ConfigError
from raytuner.plan import make_plan
from raytuner.plan_text import describe

MODULE = """
def score(params):
    return {"hits": params["depth"] * params["weight"], "given": len(params.get("documents", []))}

def blocks(params):
    for question in params["questions"]:
        yield {question.id: {"hits": params["depth"] + len(question.text)}}

number = 3
"""
CONFIG = """
objective: {function: NAME, metric: hits}
pipeline: {weight: 2}
space: {depth: [1, 3, 2]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    (tmp_path / "own_scores.py").write_text(MODULE)
    (tmp_path / "a.md").write_text("Owls hunt at night.")
    (tmp_path / "q.jsonl").write_text('{"id": "x", "question": "When?"}\n{"id": "y", "question": "Why, and when?"}')
    yield tmp_path
    sys.modules.pop("own_scores", None)


def config(folder: Path, name: str = "own_scores.score", more: str = "") -> TuneConfig:
    return TuneConfig.parse(CONFIG.replace("NAME", name) + more, base=folder)


def tuned(plan: Any) -> Any:
    return ParamTuner(param_fn=plan.objective, param_dict={"depth": [1, 3, 2]}, metric=plan.objective.metric).tune()


def test_a_plan_lists_it_unimported(folder: Path) -> None:
    plan = make_plan(config(folder))
    assert "own_scores" not in sys.modules
    assert "objective   hits of own_scores.score (by dotted path, not imported), max" in describe(plan)
    assert "documents   none\nquestions   none\n" in describe(plan)
    assert (plan.search, plan.total, plan.default) == ("grid", 3, {"depth": 1})


def test_a_plan_counts_the_documents_and_questions_that_it_gets(folder: Path) -> None:
    said = describe(make_plan(config(folder, more="documents: a.md\nquestions: q.jsonl\n")))
    assert "documents   1, 19 characters\nquestions   2\n" in said


def test_it_gets_fixed_and_tuned_parameters(folder: Path) -> None:
    best = tuned(make_plan(config(folder))).best_run_result
    assert (best.score, best.metrics, best.params) == (6, {"hits": 6, "given": 0}, {"depth": 3})


def test_it_gets_documents_and_questions_and_may_yield_blocks(folder: Path) -> None:
    plan = make_plan(config(folder, "own_scores.blocks", "documents: a.md\nquestions: q.jsonl\n"))
    best = tuned(plan).best_run_result
    assert best.questions == {"x": {"hits": 8}, "y": {"hits": 17}}
    assert best.score == 12.5


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own_scores.scor", "has no 'scor'; did you mean 'score'"),
        ("own_scores.number", "a int cannot be called; name a function of one dict"),
        ("nowhere_at_all.score", "there is no module 'nowhere_at_all'"),
    ],
)
def test_mistakes_are_found_when_a_search_begins(folder: Path, name: str, words: str) -> None:
    make_plan(config(folder, name))
    with pytest.raises(ConfigError, match=words):
        make_plan(config(folder, name), imports=True)


def test_without_one_documents_are_required() -> None:
    with pytest.raises(ConfigError, match="documents is missing; add it"):
        TuneConfig.parse("questions: q.jsonl")


def test_several_values_of_it(folder: Path) -> None:
    text = CONFIG.replace("objective: {function: NAME, metric: hits}", "objective: {function: own_scores.score}")
    more = "objectives: [{metric: given, mode: min}, {metric: hits, limit: 3}]\n"
    plan = make_plan(TuneConfig.parse(text + more, base=folder))
    assert "own_scores" not in sys.modules
    assert [line for line in describe(plan).splitlines() if line.startswith("objective ")] == [
        "objective   given of own_scores.score (by dotted path, not imported), min",
        "objective   hits of own_scores.score (by dotted path, not imported), max, at least 3",
    ]
    result = ParamTuner(param_fn=plan.objective, param_dict={"depth": [1, 3, 2]}, objectives=list(plan.goals)).tune()
    assert [found.params for found in result.pareto] == [{"depth": 3}]
    assert [found.metrics["hits"] for found in result.beyond_limit] == [2.0]
