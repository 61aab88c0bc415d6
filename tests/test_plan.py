from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from raytuner import RagObjective, TuneConfig
from raytuner.datasets import Question, QuestionSet, Reference
from raytuner.errors import ConfigError, UserError
from raytuner.goals import Goal
from raytuner.plan import Plan, make_plan
from raytuner.plan_objective import default_metric
from raytuner.plan_text import describe

ROOT = Path(__file__).resolve().parent.parent
QUICKSTART = {"documents": "builtin:quickstart", "questions": "builtin:quickstart"}


def plan(**sections: Any) -> Plan:
    return make_plan(TuneConfig.parse(yaml.safe_dump({**QUICKSTART, **sections})))


def test_small_spaces_are_tried_whole_large_ones_by_a_model() -> None:
    small = plan(space={"top_k": list(range(1, 31))})
    assert (small.search, small.trials, small.total) == ("grid", None, 30)
    large = plan(space={"top_k": list(range(1, 32))})
    assert (large.search, large.trials, large.total) == ("auto", 30, 30)
    assert "31 configurations, more than 30" in large.why
    assert plan(space={"top_k": list(range(1, 32))}, search={"trials": 31}).search == "grid"
    assert plan(space={"top_k": list(range(1, 31))}, search={"trials": 29}).search == "auto"
    endless = plan(space={"fusion_weight": {"float": [0, 1]}})
    assert (endless.search, endless.total) == ("auto", 30)


def test_what_is_asked_for_wins() -> None:
    asked = plan(space={"top_k": [1, 2, 3]}, search={"name": "random", "trials": 2})
    assert (asked.search, asked.trials, asked.total) == ("random", 2, 2)
    assert plan(space={"top_k": [1, 2, 3]}, search={"name": "grid"}).total == 3
    assert plan(space={"top_k": [1, 2, 3]}, search={"trials": 2}).total == 2


def test_an_empty_space_is_the_one_fixed_configuration() -> None:
    found = plan(pipeline={"top_k": 4})
    assert (found.search, found.total, found.default) == ("grid", 1, {})


def test_the_default_is_made_valid() -> None:
    found = plan(space={"chunk_overlap": [200, 50], "chunk_size": [128, 256]})
    assert found.default in ({"chunk_overlap": 200, "chunk_size": 256}, {"chunk_overlap": 50, "chunk_size": 128})
    assert found.skipped == 1
    assert found.total == 3


def test_metric_and_mode_by_default(tmp_path: Path) -> None:
    assert (plan().objective.metric, plan().mode) == ("span_f4", "max")
    assert plan(objective={"metric": "chunk_tokens"}).mode == "min"
    (tmp_path / "d.md").write_text("Owls hunt at night.")
    for row, metric in (
        ('{"question": "q", "document": "d.md"}', "ndcg"),
        ('{"question": "q", "answer": "a"}', "semantic_similarity"),
    ):
        (tmp_path / "q.jsonl").write_text(row)
        found = plan(documents=str(tmp_path), questions=str(tmp_path / "q.jsonl"))
        assert found.objective.metric == metric


def test_several_objectives_and_limits() -> None:
    found = plan(objectives=[{"metric": "span_recall"}, {"metric": "chunk_tokens", "limit": 1500}])
    assert found.goals == (
        Goal(metric="span_recall", mode="max"),
        Goal(metric="chunk_tokens", mode="min", limit=1500),
    )
    assert (found.objective.metric, found.mode) == ("span_recall", "max")
    assert "objective   span_recall, max\nobjective   chunk_tokens, min, at most 1500\n" in describe(found)
    one = plan(objectives=[{"metric": "chunk_tokens", "mode": "max", "limit": 99}])
    assert "objective   chunk_tokens, max, at least 99\n" in describe(one)
    answers = plan(objectives=[{"metric": "token_f1"}, {"metric": "ndcg@5"}])
    assert {"token_f1", "ndcg@5", "mrr", "exact_match", "chunk_tokens"} <= set(answers.objective.modes)


def test_objectives_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="unknown metric 'chunk_token'; did you mean 'chunk_tokens'"):
        plan(objectives=[{"metric": "span_recall"}, {"metric": "chunk_token"}])


def test_objectives_of_dotted_paths_are_not_imported() -> None:
    found = plan(
        objectives=[
            {"metric": "not_there.one", "limit": 3},
            {"metric": "not_there.two", "mode": "min", "limit": 4},
            {"metric": "chunk_tokens", "limit": 5},
        ]
    )
    assert [line.removeprefix("objective   ") for line in describe(found).splitlines() if "objective" in line] == [
        "not_there.one (by dotted path, not imported), max unless it says min, limit 3",
        "not_there.two (by dotted path, not imported), min, at most 4",
        "chunk_tokens, min, at most 5",
    ]


@pytest.mark.parametrize(
    ("sections", "embeddings", "llms"),
    [
        ({"pipeline": {"retriever": "bm25"}}, set(), set()),
        ({"pipeline": {"retriever": "hybrid", "embedding": "wordllama"}}, {"wordllama"}, set()),
        ({"space": {"retriever": ["bm25", "vector"]}}, {"minilm"}, set()),
        ({"space": {"embedding": ["minilm", "wordllama"]}}, {"minilm", "wordllama"}, set()),
        ({"pipeline": {"llm": "mock"}}, {"minilm"}, set()),
        (
            {"pipeline": {"retriever": "bm25", "llm": "mock"}, "objective": {"metric": "token_f1"}},
            set(),
            {"mock"},
        ),
        ({"pipeline": {"retriever": "bm25"}, "objective": {"metric": "token_f1"}}, {"minilm"}, set()),
        (
            {
                "pipeline": {"retriever": "bm25", "llm": "mock"},
                "objective": {"metric": "semantic_similarity", "similarity_embedding": "wordllama"},
            },
            {"wordllama"},
            {"mock"},
        ),
    ],
)
def test_only_models_that_are_used_are_needed(sections: dict[str, Any], embeddings: set[str], llms: set[str]) -> None:
    found = plan(**sections)
    assert found.objective.models(found.space) == (embeddings, llms)
    assert set(found.models) == embeddings | llms


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"pipeline": {"top_kk": 3}}, "unknown pipeline parameter 'top_kk'; did you mean 'top_k'"),
        ({"space": {"chunk_sze": [1]}}, "did you mean 'chunk_size'"),
        ({"space": {"top_k": [1, "2"]}}, "top_k: '2' is not allowed; it should be a valid integer"),
        ({"space": {"top_k": {"int": [0, 3]}}}, "top_k: 0 is not allowed"),
        ({"space": {"chunk_size": {"float": [64, 128], "step": 64}}}, "chunk_size: 64.0 is not allowed"),
        ({"space": {"fusion_weight": {"float": [0, 2]}}}, "fusion_weight: 2.0 is not allowed"),
        (
            {"pipeline": {"splitter": "sentense"}},
            "splitter: 'sentense' is unknown; did you mean 'sentence'?",
        ),
        ({"pipeline": {"prompt": "Answer {query_str}"}}, "{context_str}"),
        ({"pipeline": {"chunk_size": 100, "chunk_overlap": 100}}, "chunk_overlap 100 is not below chunk_size 100"),
        ({"pipeline": {"retriever": "hybrid", "top_k": 500}}, "fusion_depth"),
        ({"pipeline": {"top_k": 3}, "space": {"top_k": [3]}}, "both in pipeline and in space"),
        ({"space": {"prompt": ["{context_str} {query_str}", "{context} {query_str}"]}}, "lacks {context_str}"),
        ({"pipeline": {"llm": "gpt-4"}}, "unknown language model 'gpt-4'"),
        ({"pipeline": {"embedding": "minlm"}}, "did you mean 'minilm'"),
        ({"space": {"embedding": ["minilm", "worldlama"]}}, "did you mean 'wordllama'"),
        ({"search": {"name": "bayes"}}, "unknown search algorithm 'bayes'"),
        ({"space": {"fusion_weight": {"float": [0, 1]}}, "search": {"name": "grid"}}, "step"),
        ({"space": {"top_k": {"choice": [1], "when": {"retriver": "hybrid"}}}}, "retriver"),
    ],
)
def test_mistakes_are_found_before_anything_runs(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        plan(**sections)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


MODELS = {
    "local": {"model": "openai-like:qwen", "base_url": "http://localhost:8000/v1"},
    "own": {"model": "not_there.Embedding"},
    "unused": {"model": "smollm2"},
}


def test_names_of_models_are_told_with_their_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    found = plan(
        models=MODELS,
        pipeline={"embedding": "own"},
        space={"llm": ["local", "openai:m", "extractive"]},
        objective={"metric": "token_f1"},
    )
    assert set(found.models) == {"own", "local", "openai:m"}
    assert found.places == {
        "own": "not_there.Embedding by dotted path, not imported",
        "local": "openai-like:qwen at http://localhost:8000/v1, no key",
        "openai:m": "at https://api.openai.com/v1, key from OPENAI_API_KEY",
    }
    assert [missing.model for missing in found.missing] == ["openai:m"]
    assert "  local: openai-like:qwen at http://localhost:8000/v1, no key\n" in describe(found)
    assert found.default["llm"] == "local"


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"pipeline": {"llm": "lokal"}}, "unknown language model 'lokal'; did you mean 'local'"),
        ({"space": {"llm": ["local", "own2"]}}, "unknown language model 'own2'"),
        ({"pipeline": {"embedding": "unused"}}, "unknown embedding model 'smollm2'"),
        ({"pipeline": {"llm": "openai-like:qwen"}}, "'openai-like:qwen' needs its address"),
        ({"models": {"extractive": {"model": "mock"}}}, "choose another"),
        (
            {
                "models": {
                    "x": {"model": "openai:m", "base_url": "https://stranger/v1", "api_key_env": "OPENAI_API_KEY"}
                },
                "pipeline": {"llm": "x"},
            },
            "OPENAI_API_KEY is not sent to stranger",
        ),
    ],
)
def test_wrong_names_of_models_are_found(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        plan(**{"models": MODELS, **sections})
    assert message in str(error.value)


READER = {
    "documents": {"reader": "not_there.read"},
    "components": {"cut": {"path": "not_there.Cut"}},
    "models": MODELS,
}


def test_documents_by_a_reader_leave_the_rest_to_be_checked() -> None:
    found = plan(
        **READER,
        pipeline={"retriever": "hybrid", "reranker": "not_there.Rerank", "embedding": "own"},
        space={"splitter": ["sentence", "cut"], "chunk_size": [16, 32], "chunk_overlap": [0, 16]},
        objective={"metric": "not_there.metric"},
    )
    assert (found.complete, found.total, found.skipped, found.models) == (False, 6, 2, ("own",))
    said = describe(found)
    assert "documents   by not_there.read (by dotted path, not imported)\n" in said
    assert "  own: not_there.Embedding by dotted path, not imported\n" in said
    assert "components  cut, not_there.Rerank\n  cut: not_there.Cut by dotted path, not imported\n" in said


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"space": {"top_k": [0, 1]}}, "top_k: 0 is not allowed"),
        ({"objective": {"metric": "ndgc"}}, "did you mean 'ndcg'"),
        ({"pipeline": {"llm": "lokal"}}, "unknown language model 'lokal'; did you mean 'local'"),
        ({"space": {"top_k": {"choice": [1, 2], "when": {"retreiver": "bm25"}}}}, "'retreiver'"),
        ({"search": {"name": "optna"}}, "did you mean 'optuna'"),
        ({"documents": {"reader": "not_there.read", "path": "nowhere"}}, "no such file or folder"),
        ({"documents": {"reader": "a.b", "options": {"base_url": "https://evil.example"}}}, "documents.options"),
        ({"questions": "nowhere.jsonl"}, "nowhere.jsonl"),
    ],
)
def test_with_a_reader_mistakes_are_found_without_importing_it(sections: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        plan(**{**READER, **sections})
    assert message in str(error.value)


def test_what_is_long_is_shortened_in_a_plan() -> None:
    prompts = [f"{word} {'and on ' * 1000}{{context_str}}\n{{query_str}}" for word in ("one", "two")]
    said = describe(plan(space={"prompt": prompts, "top_k": list(range(1, 101))}))
    assert max(map(len, said.splitlines())) < 400
    assert "28, 29, 30, ... (70 more)" in said


def test_each_config_plans(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTUNER_DATA", str(data_dir))
    monkeypatch.delenv("RAYTUNER_LLM", raising=False)
    found = {path.stem: make_plan(TuneConfig.load(path)) for path in sorted((ROOT / "configs").glob("*.yaml"))}
    assert set(found) == {"chinese", "full", "llama2", "pareto", "quickstart", "spans"}
    assert (found["llama2"].search, found["llama2"].total) == ("grid", 9)
    assert found["llama2"].objective.metric == "semantic_similarity"
    assert len(found["chinese"].objective.questions) == 1190
    assert len(found["spans"].objective.questions) == 317
    assert set(found["spans"].space.parameters) >= {"chunk_size", "chunk_overlap", "retriever", "top_k"}


def test_conditions_on_what_is_fixed_are_decided(caplog: pytest.LogCaptureFixture) -> None:
    weight = {"float": [0, 1], "step": 0.5, "when": {"retriever": ["hybrid"]}}
    kept = plan(pipeline={"retriever": "hybrid"}, space={"fusion_weight": weight})
    assert kept.total == 3
    left_out = plan(pipeline={"retriever": "bm25"}, space={"fusion_weight": weight, "top_k": [1, 2]})
    assert list(left_out.space.parameters) == ["top_k"]
    assert "fusion_weight is left out" in caplog.text


def test_a_grid_search_in_yaml_is_a_list() -> None:
    assert plan(space={"top_k": {"grid_search": [1, 2]}}).total == 2


def test_wrong_section_type() -> None:
    with pytest.raises(ConfigError, match="space"):
        plan(space=["top_k"])


def test_the_default_metric_ignores_questions_that_cannot_be_answered() -> None:
    none = Question("none", "?", "", answerable=False)
    span = Question("span", "?", references=(Reference("a", 0, 1),))
    document = Question("document", "?", documents=("a",))
    assert default_metric(QuestionSet((none, span))) == "span_f4"
    assert default_metric(QuestionSet((none, span, document))) == "ndcg"
    assert default_metric(QuestionSet((none,))) == "semantic_similarity"


def with_questions(folder: Path, count: int, **sections: Any) -> Plan:
    (folder / "d.md").write_text("Owls hunt at night. Hens sleep then.")
    rows = [f'{{"question": "q{number}", "document": "d.md"}}' for number in range(count)]
    (folder / "q.jsonl").write_text("\n".join(rows))
    return plan(documents=str(folder / "d.md"), questions=str(folder / "q.jsonl"), **sections)


@pytest.mark.parametrize(
    ("count", "scheduler", "held_out"),
    [(19, "fifo", 0), (20, "racing", 0), (59, "racing", 0), (60, "racing", 20), (61, "racing", 20)],
)
def test_racing_and_the_holdout_need_questions(tmp_path: Path, count: int, scheduler: str, held_out: int) -> None:
    found = with_questions(tmp_path, count)
    assert (found.scheduler, found.objective.holdout) == (scheduler, held_out)
    text = describe(found)
    assert text.count(f", {held_out} of them held out") == bool(held_out)
    assert f"; {scheduler}{', since racing takes 20 questions' if scheduler == 'fifo' else ''}\n" in text
    assert ("none held out: that takes 60" in text) == (not held_out)
    assert found.notes == ([] if held_out else [f"no questions are held out: that takes 60, there are {count}"])


def test_racing_with_few_questions_is_said_and_goes_on_without(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = with_questions(tmp_path, 12, search={"scheduler": "asha"})
    assert found.scheduler == "fifo"
    assert "asha needs 20 questions, there are 12: every trial runs to its end" in caplog.text
    caplog.clear()
    assert with_questions(tmp_path, 12, search={"scheduler": "fifo"}).scheduler == "fifo"
    assert caplog.text == ""


def test_so_many_questions_are_held_out_as_asked(tmp_path: Path) -> None:
    assert with_questions(tmp_path, 30, search={"holdout": 10}).objective.holdout == 10
    assert with_questions(tmp_path, 90, search={"holdout": "none"}).objective.holdout == 0
    with pytest.raises(ConfigError, match="holdout is 30; there are 30 questions, leave some for the search"):
        with_questions(tmp_path, 30, search={"holdout": 30})


def test_held_out_questions_are_stratified_and_never_searched(tmp_path: Path) -> None:
    objective = plan(search={"holdout": 24}).objective
    assert isinstance(objective, RagObjective)
    searched = [question.id for block in objective._order.searched for question in block]
    held_out = [question.id for block in objective._order.held_out for question in block]
    assert sorted(searched + held_out) == sorted(question.id for question in objective.questions)
    assert (len(held_out), objective.total) == (24, 36)
    documents = objective.question_documents
    for document in set(documents.values()):
        share = sum(document == other for other in documents.values()) / 60
        assert abs(sum(documents[question] == document for question in held_out) - share * 24) < 2
    first = [value for block in objective.blocks({"embedding": "wordllama"}) for value in block]
    rest = [
        value
        for block in objective.blocks({"embedding": "wordllama"}, len(objective._order.searched))
        for value in block
    ]
    assert (first, rest) == (searched, held_out)


@pytest.mark.parametrize("metric", ["recall", "hit_rate", "span_recall"])
def test_a_metric_that_prefers_the_largest_is_pointed_out(metric: str, caplog: pytest.LogCaptureFixture) -> None:
    plan(objective={"metric": metric}, space={"top_k": [1, 2], "chunk_size": [64, 128]})
    assert f"{metric} never falls with more context: alone it prefers the largest top_k and chunk_size" in caplog.text
    caplog.clear()
    plan(objective={"metric": metric}, space={"retriever": ["bm25", "vector"]})
    plan(objectives=[{"metric": metric}, {"metric": "chunk_tokens"}], space={"top_k": [1, 2]})
    plan(objective={"metric": "span_f1"}, space={"top_k": [1, 2]})
    assert "never falls" not in caplog.text


def test_schedulers_are_checked_before_anything_runs() -> None:
    budgets = [{"budget": {"minutes": 5}}, {"budget": {"llm_calls": 5}}]
    for section in ({"search": {"scheduler": "halving", "name": "optuna"}}, *budgets):
        asked = {"search": {"scheduler": "halving"}, **section}
        with pytest.raises(ConfigError, match="scheduler 'halving' compares all configurations at once"):
            plan(space={"top_k": [1, 2]}, **asked)
    assert plan(space={"top_k": [1, 2]}, search={"scheduler": "halving"}).scheduler == "halving"
    with pytest.raises(ConfigError, match="scheduler 'asha' compares one metric"):
        plan(objectives=[{"metric": "span_recall"}, {"metric": "chunk_tokens"}], search={"scheduler": "asha"})
    with pytest.raises(UserError, match="has no option 'levl'"):
        plan(search={"scheduler": "racing", "scheduler_options": {"levl": 0.1}})
