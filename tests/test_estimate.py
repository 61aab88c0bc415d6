"""What a plan says beforehand, against what is then computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from raytuner import RagObjective
from raytuner.datasets import load
from raytuner.documents.load import load_documents
from raytuner.estimate import estimate
from raytuner.pipeline.pipeline import Pipeline
from raytuner.space import SearchSpace

DOCUMENTS = load_documents("builtin:quickstart")
QUESTIONS = load("builtin:quickstart", documents=DOCUMENTS)
SPACE = {
    "chunk_size": [64, 256],
    "chunk_overlap": [0, 0.25],
    "retriever": ["bm25", "vector", "hybrid"],
    "top_k": {"int": [1, 10]},
}


def objective(**options: Any) -> RagObjective:
    return RagObjective(DOCUMENTS, QUESTIONS, **{"metric": "span_f1", "embedding": "wordllama", **options})


@pytest.mark.usefixtures("empty_cache")
def test_the_whole_space_is_gone_through_and_what_is_there_is_known() -> None:
    rag, space = objective(), SearchSpace.from_dict(SPACE)
    before = estimate(rag, space, None)
    assert (before.chunkings, before.cut, before.answers) == (4, 0, 0)
    pipeline, chunks = Pipeline(DOCUMENTS), 0
    for size in SPACE["chunk_size"]:
        for overlap in SPACE["chunk_overlap"]:
            own = rag.resolved({"chunk_size": size, "chunk_overlap": overlap, "retriever": "vector"})
            chunks += len(pipeline.chunks(own))
    (embedding,) = before.embeddings
    assert embedding.model == "wordllama"
    assert embedding.there == 0
    assert embedding.chunks == pytest.approx(chunks, rel=0.3)
    rag({"chunk_size": 64, "chunk_overlap": 0, "retriever": "vector"})
    after = estimate(rag, space, None)
    assert after.cut == 4  # splitting them was counted above
    (embedding,) = after.embeddings
    assert embedding.chunks == chunks
    assert 0 < embedding.there < chunks
    assert embedding.seconds is not None
    assert before.embeddings[0].seconds is not None
    assert embedding.seconds < before.embeddings[0].seconds


@pytest.mark.usefixtures("empty_cache")
def test_fewer_trials_than_configurations_need_less() -> None:
    rag, space = objective(), SearchSpace.from_dict(SPACE)
    assert estimate(rag, space, 1).chunkings == 1
    assert estimate(rag, space, 20) == estimate(rag, space, 20)


@pytest.mark.usefixtures("empty_cache")
def test_bm25_embeds_nothing_and_an_llm_answers_every_question() -> None:
    space = SearchSpace.from_dict({"top_k": [1, 2], "llm": ["mock", "extractive"]})
    found = estimate(objective(metric="token_f1", retriever="bm25"), space, None)
    assert found.embeddings == []
    assert found.answers == 2 * len(QUESTIONS)


@pytest.mark.usefixtures("empty_cache")
def test_an_endless_space_and_a_model_elsewhere(tmp_path: Path) -> None:
    space = SearchSpace.from_dict({"chunk_overlap": {"float": [0, 0.5]}, "splitter": ["sentence", "whole"]})
    served = {"served": {"model": "openai-like:m", "base_url": "http://localhost:1/v1"}}
    found = estimate(objective(models=served, embedding="served"), space, 12)
    assert 2 <= found.chunkings <= 12
    assert found.embeddings[0].model == "served"
    assert found.embeddings[0].seconds is None


@pytest.mark.usefixtures("empty_cache")
def test_nothing_that_a_config_names_is_imported() -> None:
    space = SearchSpace.from_dict({"chunk_size": [64, 128], "splitter": ["no_such.module.Splitter", "sentence"]})
    rag = objective(reranker="no_such.module.Reranker")
    assert estimate(rag, space, None).chunkings == 4
