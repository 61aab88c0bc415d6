"""Warnings of embeddings that do not know the language."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from raytuner import RagObjective, SearchSpace
from raytuner.config import TuneConfig
from raytuner.datasets import Question, QuestionSet
from raytuner.documents.document import Document
from raytuner.languages import foreign
from raytuner.plan import make_plan

CHINESE = "今天天气很好，我们去公园散步。"


def test_the_line_says_what_and_what_else_to_use() -> None:
    texts = {"documents": [CHINESE], "questions": ["weather?"]}
    assert foreign({"minilm": "minilm"}, texts) == [
        "minilm was trained on English, and 100% of the letters of the documents are Han; "
        "use retriever bm25 or a multilingual embedding"
    ]
    assert len(foreign({"minilm": "minilm", "wordllama": "wordllama"}, texts)) == 2
    assert foreign({"small": "minilm"}, texts)[0].startswith("small was")
    assert foreign({"multilingual": "openai"}, texts) == []


def test_one_of_both_is_enough() -> None:
    (line,) = foreign({"wordllama": "wordllama"}, {"documents": ["weather"], "questions": [CHINESE]})
    assert "of the questions are Han" in line


def test_some_foreign_words_are_no_foreign_language() -> None:
    assert (
        foreign(
            {"minilm": "minilm"}, {"documents": ["The city of Beijing (北京) is large, said Дмитрий to his brothers."]}
        )
        == []
    )


def objective(text: str, **pipeline: Any) -> RagObjective:
    questions = QuestionSet((Question("q1", text, documents=("d1",)),))
    return RagObjective([Document("d1", text)], questions, metric="ndcg", **pipeline)


@pytest.mark.parametrize(
    ("text", "pipeline", "warnings"),
    [
        (CHINESE, {"embedding": "wordllama"}, 1),
        (CHINESE, {"embedding": "wordllama", "retriever": "bm25"}, 0),
        ("The weather is fine.", {"embedding": "wordllama"}, 0),
    ],
)
def test_an_objective_warns_once(
    text: str, pipeline: dict[str, Any], warnings: int, caplog: pytest.LogCaptureFixture
) -> None:
    rag = objective(text, **pipeline)
    for _ in range(2):
        rag.prepare(SearchSpace.from_dict({"top_k": [1, 2]}))
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == warnings
    assert all("wordllama" in text for text in said)


def test_a_plan_warns(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "d.txt").write_text(CHINESE, encoding="utf-8")
    (tmp_path / "q.jsonl").write_text('{"question": "天气?", "documents": ["d.txt"]}\n', encoding="utf-8")
    config = "{documents: d.txt, questions: q.jsonl, pipeline: {embedding: wordllama}, space: {top_k: [1, 2]}}"
    make_plan(TuneConfig.parse(config, base=tmp_path))
    assert [record.getMessage().partition(" ")[0] for record in caplog.records] == ["wordllama"]
