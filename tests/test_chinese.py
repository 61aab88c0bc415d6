"""Chinese, on xquad.zh: 240 paragraphs, 1190 questions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raytuner import RagObjective, TuneConfig, datasets
from raytuner.datasets import QuestionSet
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.pipeline.pipeline import Pipeline
from raytuner.plan import Plan, make_plan

ROOT = Path(__file__).resolve().parent.parent
WHOLE: dict[str, Any] = {"retriever": "bm25", "chunk_size": 1024, "chunk_overlap": 0, "top_k": 5}
LEAST_HITS = 0.95


@pytest.fixture(scope="module")
def documents(data_dir: Path) -> list[Document]:
    return load_documents(data_dir / "xquad" / "xquad.zh.json")


@pytest.fixture(scope="module")
def questions(data_dir: Path, documents: list[Document]) -> QuestionSet:
    return datasets.load(data_dir / "xquad" / "xquad.zh.json", documents=documents)


@pytest.fixture
def plan(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setenv("RAYTUNER_DATA", str(data_dir))
    return make_plan(TuneConfig.load(ROOT / "configs" / "chinese.yaml"))


def test_bm25_finds_the_paragraph(documents: list[Document], questions: QuestionSet) -> None:
    pipeline = Pipeline(documents)
    chunks = pipeline.chunks(WHOLE)
    rankings = pipeline.rankings(WHOLE, [question.text for question in questions])
    hits = [
        question.references[0].document in {documents[chunks[i].document].id for i in ranking.chunks}
        for question, ranking in zip(questions, rankings, strict=True)
    ]
    assert len(hits) == 1190
    assert sum(hits) / len(hits) >= LEAST_HITS


def test_the_objective_says_so_too(documents: list[Document], questions: QuestionSet) -> None:
    result = RagObjective(documents, questions, metric="recall", block_size=100)(WHOLE)
    assert result.metrics["hit_rate"] >= LEAST_HITS
    assert result.score == result.metrics["recall"] >= LEAST_HITS  # one chunk is relevant, so both are the same


def test_the_config_needs_no_model_and_warns_of_none(plan: Plan, caplog: pytest.LogCaptureFixture) -> None:
    assert plan.models == ()
    assert caplog.records == []


def test_the_default_of_the_config_is_good(plan: Plan) -> None:
    assert plan.objective(plan.default).score >= 0.9
