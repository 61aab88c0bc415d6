"""What a plan says beforehand, against what is then computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raytuner import RagObjective
from raytuner.datasets import QuestionSet, load
from raytuner.documents.load import load_documents
from raytuner.estimate import Estimate, estimate
from raytuner.pipeline.cache import shared_cache
from raytuner.pipeline.embed import embedder
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


def embedded(found: Estimate) -> dict[str, tuple[str, int, int]]:
    """The model of each kind of texts, how many there are and how many are to be embedded."""
    return {texts.kind: (one.model, texts.wanted, texts.needed) for one in found.embeddings for texts in one.texts}


@pytest.fixture
def only_looks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Called, it lets everything fail that splits, embeds or answers."""

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("something is computed")

    def refuse() -> None:
        for place in (
            "splitters._chunks",
            "splitters.token_counter",
            "embed.Embedder._remembered",
            "generate.split_sentences",
            "generate._synthesizer",
        ):
            monkeypatch.setattr(f"raytuner.pipeline.{place}", refused)

    return refuse


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
    model, wanted, needed = embedded(before)["chunks"]
    assert model == "wordllama"
    assert wanted == needed == pytest.approx(chunks, rel=0.3)
    rag({"chunk_size": 64, "chunk_overlap": 0, "retriever": "vector"})
    after = estimate(rag, space, None)
    assert after.cut == 4  # splitting them was counted above
    assert embedded(after)["chunks"][1] == chunks
    assert 0 < embedded(after)["chunks"][2] < chunks
    assert embedded(after)["questions"][1:] == (len(QUESTIONS), 0)
    before_s, after_s = before.embeddings[0].seconds, after.embeddings[0].seconds
    assert after_s is not None
    assert before_s is not None
    assert 0 < after_s < before_s


@pytest.mark.usefixtures("empty_cache")
def test_fewer_trials_than_configurations_need_less() -> None:
    rag, space = objective(), SearchSpace.from_dict(SPACE)
    assert estimate(rag, space, 1).chunkings == 1
    assert estimate(rag, space, 20) == estimate(rag, space, 20)


@pytest.mark.usefixtures("empty_cache")
def test_bm25_embeds_nothing_and_an_llm_answers_every_question() -> None:
    space = SearchSpace.from_dict({"top_k": [1, 2], "llm": ["mock"]})
    found = estimate(objective(metric="token_f1", retriever="bm25"), space, None)
    assert found.embeddings == []
    assert (found.answered, found.answers, found.unknown) == (0, 2 * len(QUESTIONS), 2 * len(QUESTIONS))


@pytest.mark.usefixtures("empty_cache")
def test_an_endless_space_and_a_model_elsewhere(tmp_path: Path) -> None:
    space = SearchSpace.from_dict({"chunk_overlap": {"float": [0, 0.5]}, "splitter": ["sentence", "whole"]})
    served = {"served": {"model": "openai-like:m", "base_url": "http://localhost:1/v1"}}
    found = estimate(objective(models=served, embedding="served"), space, 12)
    assert 2 <= found.chunkings <= 12
    assert embedded(found)["chunks"][0] == "served"
    assert found.embeddings[0].seconds is None


@pytest.mark.usefixtures("empty_cache")
def test_nothing_that_a_config_names_is_imported() -> None:
    space = SearchSpace.from_dict({"chunk_size": [64, 128], "splitter": ["no_such.module.Splitter", "sentence"]})
    for options in ({}, {"metric": "token_f1"}, {"metric": "semantic_similarity", "llm": "mock"}):
        rag = objective(reranker="no_such.module.Reranker", **options)
        assert estimate(rag, space, None).chunkings == 4
    rag = objective(metric="no_such.module.metric", llm="mock")
    assert estimate(rag, space, None).unknown == 4 * COUNT  # it may need answers


COUNT = len(QUESTIONS)


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize("splitter", ["sentence", "sentence_window", "semantic", "whole"])
def test_a_second_run_computes_nothing(splitter: str, only_looks: Callable[[], None]) -> None:
    rag = objective(metric="semantic_similarity", splitter=splitter)
    space = SearchSpace.from_dict({"llm": ["mock", "extractive"], "retriever": ["hybrid", "bm25"], "top_k": [1, 2]})
    before = estimate(rag, space, None)
    assert (before.answered, before.answers, before.unknown) == (0, 4 * COUNT, 4 * COUNT)
    assert all(texts.needed == texts.wanted > 0 for one in before.embeddings for texts in one.texts)
    for raw in space.points():
        rag(space.configuration(raw))
    only_looks()
    after = estimate(rag, space, None)
    assert (after.answers, after.unknown) == (0, 0)
    assert 0 < after.answered <= 4 * COUNT
    assert {texts.needed for one in after.embeddings for texts in one.texts} == {0}
    assert after.embeddings[0].tokens == after.embeddings[0].seconds == 0


@pytest.mark.usefixtures("empty_cache")
def test_answers_are_looked_for_as_far_as_their_texts_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    rag = objective(metric="token_f1", llm="mock", retriever="bm25")
    space = SearchSpace.from_dict({"chunk_size": [64, 256], "top_k": [1, 2]})
    rag({"chunk_size": 64, "top_k": 1})
    found = estimate(rag, space, None)
    assert (found.answered, found.answers, found.unknown) == (COUNT, 3 * COUNT, 2 * COUNT)
    served = {"served": {"model": "openai-like:m", "base_url": "http://localhost:1/v1"}}
    sampled = objective(metric="token_f1", llm="served", models=served, retriever="bm25", temperature=0.5)
    found = estimate(sampled, space, None)
    assert (found.answered, found.answers, found.unknown) == (0, 4 * COUNT, 0)
    monkeypatch.setattr("raytuner.lookup.MAX_ANSWERS", 10)
    found = estimate(rag, space, None)
    assert (found.answered, found.answers, found.unknown) == (10, 4 * COUNT - 10, 4 * COUNT - 10)


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize(
    ("kind", "options", "others"),
    [
        ("sentences to answer with", {"metric": "token_f1", "chunk_size": 128, "top_k": 1}, 0),
        ("sentences to answer with", {"metric": "token_f1", "chunk_size": 512}, 0),
        ("sentences to answer with", {"metric": "token_f1", "splitter": "sentence_window"}, 0),
        ("sentences to cut between", {"metric": "hit_rate", "splitter": "semantic"}, 0),
        ("answers", {"metric": "semantic_similarity", "llm": "mock"}, COUNT),
    ],
)
def test_texts_of_each_kind_are_about_as_many_as_are_embedded(kind: str, options: dict[str, Any], others: int) -> None:
    rag, space = objective(retriever="bm25", **options), SearchSpace.from_dict({"bm25_b": [0.5]})
    before = estimate(rag, space, None)
    rag({"bm25_b": 0.5})
    store = shared_cache().store
    assert store is not None
    real = store.info().stages["embed_text"].artefacts - others
    assert embedded(before)[kind][2] == pytest.approx(real, rel=0.3)


@pytest.mark.usefixtures("empty_cache")
def test_questions_and_right_answers_are_counted_exactly() -> None:
    rag = objective(metric="semantic_similarity", llm="mock", retriever="vector")
    space = SearchSpace.from_dict({"chunk_size": [128]})
    before = {texts.kind: texts for one in estimate(rag, space, None).embeddings for texts in one.texts}
    assert [before[kind].exact for kind in ("questions", "right answers", "chunks", "answers")] == [
        True,
        True,
        False,
        False,
    ]
    few = RagObjective(
        DOCUMENTS,
        QuestionSet(QUESTIONS.questions[:7]),
        metric="semantic_similarity",
        llm="mock",
        retriever="vector",
        embedding="wordllama",
    )
    few({"chunk_size": 256})
    after = embedded(estimate(rag, space, None))
    right = {text for question in QUESTIONS for text in (question.answer, *question.other_answers)}
    there = {text for question in QUESTIONS.questions[:7] for text in (question.answer, *question.other_answers)}
    assert after["questions"][1:] == (COUNT, COUNT - 7)
    assert after["right answers"][1:] == (len(right), len(right - there))
    assert after["chunks"][1] == after["chunks"][2]


@pytest.mark.usefixtures("empty_cache")
def test_chunks_that_have_vectors_are_not_counted_where_the_rest_was_not_finished() -> None:
    rag, space = objective(), SearchSpace.from_dict({"retriever": ["vector"], "chunk_size": [64]})
    chunks = Pipeline(DOCUMENTS).chunks({"chunk_size": 64})
    texts = list(dict.fromkeys(chunk.text for chunk in chunks))
    assert embedded(estimate(rag, space, None))["chunks"][1:] == (len(chunks), len(texts))
    embedder("wordllama").texts(texts[:5])
    (found,) = estimate(rag, space, None).embeddings
    (row,) = (row for row in found.texts if row.kind == "chunks")
    tokens = {chunk.text: chunk.tokens for chunk in chunks}
    assert (row.needed, row.exact) == (len(texts) - 5, True)
    assert row.tokens == sum(tokens[text] for text in texts[5:])
