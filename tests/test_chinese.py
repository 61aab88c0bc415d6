"""Chinese, on xquad.zh: 240 paragraphs, 1190 questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raytuner import RagObjective, TuneConfig
from raytuner.datasets import Question, QuestionSet, Reference
from raytuner.documents.document import Document
from raytuner.documents.squad import squad_paragraphs
from raytuner.pipeline.pipeline import Pipeline

ROOT = Path(__file__).resolve().parent.parent
WHOLE: dict[str, Any] = {"retriever": "bm25", "chunk_size": 1024, "chunk_overlap": 0, "top_k": 5}
LEAST_HITS = 0.95


@pytest.fixture(scope="module")
def squad(data_dir: Path) -> tuple[list[Document], QuestionSet]:
    data = json.loads((data_dir / "xquad" / "xquad.zh.json").read_text(encoding="utf-8"))
    paragraphs = list(squad_paragraphs(data))
    questions = [
        Question(entry["id"], entry["question"], entry["answers"][0]["text"], (_span(name, entry["answers"][0]),))
        for name, paragraph in paragraphs
        for entry in paragraph["qas"]
    ]
    return [Document(name, paragraph["context"]) for name, paragraph in paragraphs], QuestionSet(tuple(questions))


def _span(name: str, answer: dict[str, Any]) -> Reference:
    start = answer["answer_start"]
    return Reference(name, start, start + len(answer["text"]), answer["text"])


def test_bm25_finds_the_paragraph(squad: tuple[list[Document], QuestionSet]) -> None:
    documents, questions = squad
    pipeline = Pipeline(documents)
    chunks = pipeline.chunks(WHOLE)
    rankings = pipeline.rankings(WHOLE, [question.text for question in questions])
    hits = [
        question.references[0].document in {documents[chunks[i].document].id for i in ranking.chunks}
        for question, ranking in zip(questions, rankings, strict=True)
    ]
    assert len(hits) == 1190
    assert sum(hits) / len(hits) >= LEAST_HITS


def test_the_objective_says_so_too(squad: tuple[list[Document], QuestionSet]) -> None:
    result = RagObjective(*squad, metric="recall", block_size=100)(WHOLE)
    assert result.metrics["hit_rate"] >= LEAST_HITS
    assert result.score == result.metrics["recall"] >= LEAST_HITS  # one paragraph is relevant, so both are the same


def test_the_config_scores_well_by_default(
    squad: tuple[list[Document], QuestionSet], data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTUNER_DATA", str(data_dir))
    config = TuneConfig.load(ROOT / "configs" / "chinese.yaml")
    assert config.documents == [config.questions.path] == [str(data_dir / "xquad" / "xquad.zh.json")]
    defaults = {name: entry["default"] for name, entry in config.space.items()}
    rag = RagObjective(*squad, metric=str(config.objective.metric), block_size=100, **config.pipeline)
    assert rag(defaults).score >= 0.9
