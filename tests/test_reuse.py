"""Why artefacts are used again or not."""

from __future__ import annotations

from typing import Any

import pytest

from raytuner import RagObjective
from raytuner.datasets import QuestionSet, load
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.pipeline.cache import shared_cache
from raytuner.reuse import MADE_FROM, Share, reuse, shares

DOCUMENTS = load_documents("builtin:quickstart")
QUESTIONS = load("builtin:quickstart", documents=DOCUMENTS)
PARAMS = {"chunk_size": 128, "retriever": "hybrid"}


def objective(documents: list[Document] = DOCUMENTS, **options: Any) -> RagObjective:
    return RagObjective(documents, QUESTIONS, **{"metric": "hit_rate", "embedding": "wordllama", **options})


def found(params: dict[str, Any], **options: Any) -> dict[str, tuple[bool, dict[str, Any]]]:
    """What is said of the artefacts of the whole collection."""
    parts = reuse(objective(**options), params)
    return {part.stage: (part.there == 1, dict(part.differs)) for part in parts if not part.each}


def asked(params: dict[str, Any], rag: RagObjective | None = None) -> dict[str, tuple[int, int, int, list[str]]]:
    """What is said of those of the questions: how many are there, wanted and unknown, and what differs."""
    parts = reuse(objective() if rag is None else rag, params)
    return {part.stage: (part.there, part.wanted, part.unknown, list(part.differs)) for part in parts if part.each}


def clear(*stages: str) -> None:
    store = shared_cache().store
    assert store is not None
    store.clear(stages, in_use=True)


@pytest.mark.usefixtures("empty_cache")
def test_a_key_that_is_not_there_is_compared_with_the_nearest() -> None:
    nothing = (False, {})
    assert found(PARAMS) == {"sentence": nothing, "embed_chunks": nothing, "bm25_index": nothing}
    objective()(PARAMS)
    there = (True, {})
    assert found(PARAMS) == {"sentence": there, "embed_chunks": there, "bm25_index": there}
    assert found({**PARAMS, "top_k": 9, "fusion_weight": 0.9}) == found(PARAMS)
    assert found({**PARAMS, "bm25_b": 0.5}) == {
        "sentence": there,
        "embed_chunks": there,
        "bm25_index": (False, {"bm25_b": (0.75, 0.5)}),
    }
    larger = found({**PARAMS, "chunk_size": 256})
    assert larger["sentence"] == (False, {"chunk_size": (128, 256)})
    assert list(larger["embed_chunks"][1]) == list(larger["bm25_index"][1]) == [MADE_FROM]
    assert list(found(PARAMS, embedding="minilm")["embed_chunks"][1]) == ["embedding"]
    assert list(found({**PARAMS, "splitter": "token"})["embed_chunks"][1]) == [MADE_FROM]


@pytest.mark.usefixtures("empty_cache")
def test_what_was_removed_is_not_compared_with() -> None:
    objective()(PARAMS)
    objective()({**PARAMS, "chunk_size": 64, "retriever": "bm25", "bm25_b": 0.5})
    other = {**PARAMS, "chunk_size": 64}
    assert list(found(other)["bm25_index"][1]) == ["bm25_b"]
    clear("bm25_index", "sentence", "bm25_search")
    nothing = (False, {})
    assert found(other)["bm25_index"] == found(other)["sentence"] == nothing
    assert list(found(other)["embed_chunks"][1]) == [MADE_FROM]
    assert asked(other)["bm25_search"] == (0, 60, 0, [])


@pytest.mark.usefixtures("empty_cache")
def test_what_is_there_of_the_questions_is_counted() -> None:
    some = QuestionSet(QUESTIONS.questions[:57])
    RagObjective(DOCUMENTS, some, metric="hit_rate", embedding="wordllama")(PARAMS)
    part = (57, 60, 0, [])
    assert asked(PARAMS) == {"embed_query": part, "vector_search": part, "bm25_search": part}
    assert asked({**PARAMS, "top_k": 9}) == asked(PARAMS)
    nothing = (0, 60, 0, [MADE_FROM])
    assert asked({**PARAMS, "chunk_size": 256}) == {
        "embed_query": part,
        "vector_search": nothing,
        "bm25_search": nothing,
    }
    assert asked({"retriever": "vector", "chunk_size": 128, "top_k": 101})["vector_search"] == (0, 60, 0, [])
    last = RagObjective(DOCUMENTS, QuestionSet(QUESTIONS.questions[57:]), metric="hit_rate", embedding="wordllama")
    assert asked({**PARAMS, "chunk_size": 256}, last)["vector_search"] == (0, 3, 0, [])  # of none of these questions


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize("splitter", ["sentence", "sentence_window", "whole"])
def test_answers_are_known_once_their_texts_are(splitter: str) -> None:
    rag = objective(metric="token_f1", llm="mock")
    params = {**PARAMS, "splitter": splitter}
    assert asked(params, rag)["generate"] == (0, 60, 60, [])
    objective(documents=DOCUMENTS)(params)  # which only retrieves
    assert asked(params, rag)["generate"] == (0, 60, 0, [])
    rag(params)
    assert asked(params, rag)["generate"] == (60, 60, 0, [])
    assert asked({**params, "response_mode": "refine"}, rag)["generate"] == (0, 60, 0, ["response_mode"])
    models = {"served": {"model": "openai-like:m", "base_url": "http://localhost:1/v1"}}
    served = objective(metric="token_f1", llm="served", models=models)
    assert asked(params, served)["generate"][:2] == (0, 60)
    assert "generate" not in asked({**params, "temperature": 0.5}, served)  # each trial asks by itself
    extracted = objective(metric="token_f1", retriever="bm25")
    bm25 = {**params, "retriever": "bm25"}
    assert asked(bm25, extracted)["extract"] == (0, 60, 0, [])
    extracted(bm25)
    assert asked(bm25, extracted)["extract"] == (60, 60, 0, [])
    assert asked(bm25, extracted)["embed_query"] == (60, 60, 0, [])
    assert asked({**bm25, "answer_tokens": 7}, extracted)["extract"] == (0, 60, 0, ["answer_tokens"])
    clear("bm25_search")
    assert asked(bm25, extracted)["extract"] == (0, 60, 60, [])


@pytest.mark.usefixtures("empty_cache")
def test_rerankings_and_those_of_own_retrievers_too() -> None:
    parts = {
        "first": {"path": "llama_index.core.postprocessor.SimilarityPostprocessor", "version": "1"},
        "second": {"path": "llama_index.core.postprocessor.SimilarityPostprocessor", "version": "2"},
    }
    rag = objective(components=parts)
    params = {"chunk_size": 128, "retriever": "bm25", "reranker": "first"}
    rag(params)
    assert asked(params, rag)["rerank"] == (60, 60, 0, [])
    assert asked({**params, "reranker": "second"}, rag)["rerank"] == (0, 60, 0, ["reranker"])
    outside = asked({**params, "retriever": "no_such.module.Retriever"}, rag)
    assert outside == {"route": (0, 60, 0, []), "rerank": (0, 60, 0, [MADE_FROM])}
    assert reuse(rag, {**params, "splitter": "no_such.module.Splitter"}) == []


@pytest.mark.usefixtures("empty_cache")
def test_what_several_configurations_share_counts_once() -> None:
    rag = objective(metric="token_f1", llm="mock", retriever="bm25")
    space = [rag.resolved({"chunk_size": size, "top_k": top_k}) for size in (128, 256) for top_k in (1, 2)]
    assert shares(rag, space) == {
        "sentence": Share(0, 2, 0),
        "bm25_index": Share(0, 2, 0),
        "bm25_search": Share(0, 120, 0),
        "generate": Share(0, 0, 240),
    }
    rag({"chunk_size": 128, "top_k": 1})
    assert shares(rag, space) == {
        "sentence": Share(1, 2, 0),
        "bm25_index": Share(1, 2, 0),
        "bm25_search": Share(60, 120, 0),
        "generate": Share(60, 120, 120),
    }


@pytest.mark.usefixtures("empty_cache")
def test_other_documents_are_another_beginning_of_the_chain() -> None:
    objective()(PARAMS)
    first, *others = DOCUMENTS
    changed = [Document(first.id, first.text + " More.", first.source), *others]
    differing = found(PARAMS, documents=changed)
    assert {name: list(differs) for name, (_, differs) in differing.items()} == {
        "sentence": [MADE_FROM],
        "embed_chunks": [MADE_FROM],
        "bm25_index": [MADE_FROM],
    }


def test_a_retriever_needs_only_its_own(empty_cache: object) -> None:
    assert list(found({"retriever": "bm25"})) == ["sentence", "bm25_index"]
    assert list(found({"retriever": "vector"})) == ["sentence", "embed_chunks"]
