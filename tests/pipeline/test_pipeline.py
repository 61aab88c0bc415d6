"""The chain of stages: what is allowed, what is computed again, what comes out."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from raytuner.documents.load import load_documents
from raytuner.errors import ConfigError, ModelError
from raytuner.pipeline.cache import StageCache
from raytuner.pipeline.link import LINKS
from raytuner.pipeline.parameters import check, check_value, defaults
from raytuner.pipeline.pipeline import Pipeline
from raytuner.pipeline.retrieve import MIN_DEPTH, Ranking
from raytuner.pipeline.splitters import SPLITTERS

DOCUMENTS = load_documents("builtin:quickstart")[:3]
QUESTIONS = ["What is a chunk?", "How does BM25 weigh a repeated term?", "the of and", "Why embed in windows?"]
BASE: dict[str, Any] = {"embedding": "wordllama", "chunk_size": 64, "retriever": "hybrid"}
EVERYTHING = {"sentence", "embed_chunks", "bm25_index", "vector_search", "bm25_search", "fuse"}


class RecordingCache(StageCache):
    """Counts what is built, by stage."""

    def __init__(self) -> None:
        super().__init__()
        self.built: Counter[str] = Counter()

    def get_or_build_many(self, keys: Any, build: Any, *, stage: str = "", **options: Any) -> Any:
        def recorded(needed: list[int]) -> Any:
            if stage != LINKS:  # which only describe the others
                self.built[stage] += len(needed)
            return build(needed)

        return super().get_or_build_many(keys, recorded, stage=stage, **options)


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return Pipeline(DOCUMENTS)


def found(rankings: list[Ranking]) -> list[tuple[list[int], list[float]]]:
    return [(ranking.chunks.tolist(), ranking.scores.tolist()) for ranking in rankings]


@pytest.mark.parametrize(
    ("change", "built"),
    [
        ({}, set()),
        ({"top_k": 50}, set()),
        ({"similarity_cutoff": 0.01}, set()),
        ({"retriever": "vector"}, set()),
        ({"retriever": "bm25"}, set()),
        ({"answer_tokens": 7, "llm": "mock", "temperature": 1.0}, set()),
        ({"fusion_weight": 0.3}, {"fuse"}),
        ({"bm25_b": 0.5}, {"bm25_index", "bm25_search", "fuse"}),
        ({"long_text": "truncate"}, {"embed_chunks", "vector_search", "fuse"}),
        ({"embedding": "minilm"}, {"embed_chunks", "vector_search", "fuse"}),
        ({"window_size": 1, "breakpoint_percentile": 50}, set()),
        ({"chunk_overlap": 0}, EVERYTHING),
        ({"chunk_size": 128}, EVERYTHING),
    ],
)
def test_only_what_is_downstream_of_a_change_is_built_again(change: dict[str, Any], built: set[str]) -> None:
    cache = RecordingCache()
    Pipeline(DOCUMENTS, cache).rankings(BASE, QUESTIONS)
    assert set(cache.built) == EVERYTHING
    cache.built.clear()
    Pipeline(DOCUMENTS, cache).rankings({**BASE, **change}, QUESTIONS)
    assert set(cache.built) == built


@pytest.mark.parametrize(
    ("splitter", "changes", "needed"),
    [
        ("whole", {"chunk_size": 128, "chunk_overlap": 0, "window_size": 1, "breakpoint_percentile": 50}, {}),
        ("sentence_window", {"chunk_size": 128, "chunk_overlap": 64, "window_size": 1}, {}),
        ("semantic", {"chunk_overlap": 0, "window_size": 1}, {"breakpoint_percentile": 50, "chunk_size": 32}),
        ("recursive", {"window_size": 1, "breakpoint_percentile": 50}, {"chunk_size": 128, "chunk_overlap": 0}),
    ],
)
def test_a_splitter_depends_on_its_own_parameters_alone(
    splitter: str, changes: dict[str, Any], needed: dict[str, Any]
) -> None:
    cache = RecordingCache()
    pipeline, own = Pipeline(DOCUMENTS[:1], cache), {**BASE, "splitter": splitter}
    pipeline.rankings(own, QUESTIONS)
    cache.built.clear()
    for name, value in changes.items():
        pipeline.rankings({**own, name: value}, QUESTIONS)
    assert not cache.built
    for name, value in needed.items():
        pipeline.rankings({**own, name: value}, QUESTIONS)
        assert set(cache.built) == {splitter, *EVERYTHING} - {"sentence"}
        cache.built.clear()


def test_every_splitter_gives_rankings_and_contexts() -> None:
    for splitter in SPLITTERS:
        pipeline, own = Pipeline(DOCUMENTS), {**BASE, "splitter": splitter}
        (ranking,) = pipeline.rankings(own, QUESTIONS[:1])
        chunks, contexts = pipeline.chunks(own), pipeline.contexts(own, ranking)
        assert len(contexts) == len(ranking.chunks) > 0
        for context, position in zip(contexts, ranking.chunks, strict=True):
            assert chunks[position].text in context.text
            assert (context == chunks[position]) == (splitter != "sentence_window")


def test_bm25_embeds_nothing_and_vector_indexes_nothing() -> None:
    bm25 = {"sentence": 1, "bm25_index": 1, "bm25_search": 4}
    vector = {"sentence": 1, "embed_chunks": 1, "vector_search": 4}
    for retriever, built in (("bm25", bm25), ("vector", vector)):
        cache = RecordingCache()
        Pipeline(DOCUMENTS, cache).rankings({**BASE, "retriever": retriever}, QUESTIONS)
        assert cache.built == built


def test_only_new_questions_are_searched_for() -> None:
    cache = RecordingCache()
    pipeline = Pipeline(DOCUMENTS, cache)
    pipeline.rankings(BASE, QUESTIONS[:3])
    cache.built.clear()
    assert found(pipeline.rankings(BASE, QUESTIONS))[:3] == found(
        Pipeline(DOCUMENTS, StageCache()).rankings(BASE, QUESTIONS[:3])
    )
    assert cache.built == {"vector_search": 1, "bm25_search": 1, "fuse": 1}


def test_the_first_question_brings_the_others_with_it() -> None:
    cache = RecordingCache()
    pipeline = Pipeline(DOCUMENTS, cache, questions=QUESTIONS)
    first = pipeline.rankings(BASE, QUESTIONS[:1])
    assert (cache.built["vector_search"], cache.built["bm25_search"], cache.built["fuse"]) == (4, 4, 1)
    assert found(first) == found(Pipeline(DOCUMENTS, StageCache()).rankings(BASE, QUESTIONS[:1]))
    cache.built.clear()
    pipeline.rankings(BASE, QUESTIONS)
    assert cache.built == {"fuse": 3}


@pytest.mark.parametrize("retriever", ["vector", "bm25", "hybrid"])
def test_a_smaller_top_k_is_a_prefix(pipeline: Pipeline, retriever: str) -> None:
    params = {**BASE, "retriever": retriever, "fusion_depth": 400}
    full = found(pipeline.rankings({**params, "top_k": 400}, QUESTIONS))
    for top_k in (1, 2, 5, MIN_DEPTH, MIN_DEPTH + 1):
        assert found(Pipeline(DOCUMENTS, StageCache()).rankings({**params, "top_k": top_k}, QUESTIONS)) == [
            (chunks[:top_k], scores[:top_k]) for chunks, scores in full
        ]


def test_a_ranking_is_deepened_on_demand(pipeline: Pipeline) -> None:
    params = {"embedding": "wordllama", "chunk_size": 32, "retriever": "vector"}
    count = len(pipeline.chunks(params))
    assert count > MIN_DEPTH + 10
    shallow = pipeline.rankings({**params, "top_k": 2}, QUESTIONS)
    deep = pipeline.rankings({**params, "top_k": MIN_DEPTH + 5}, QUESTIONS)
    everything = pipeline.rankings({**params, "top_k": 10 * count}, QUESTIONS)
    assert [len(ranking.chunks) for ranking in (shallow[0], deep[0], everything[0])] == [2, MIN_DEPTH + 5, count]
    assert found(pipeline.rankings({**params, "top_k": 2}, QUESTIONS)) == found(shallow)


@pytest.mark.parametrize("retriever", ["vector", "bm25", "hybrid"])
def test_grouping_questions_changes_nothing(pipeline: Pipeline, retriever: str) -> None:
    params = {**BASE, "retriever": retriever, "top_k": 20}
    one_by_one = [Pipeline(DOCUMENTS, pipeline._cache).rankings(params, [question])[0] for question in QUESTIONS]
    assert found(one_by_one) == found(Pipeline(DOCUMENTS, StageCache()).rankings(params, QUESTIONS))


def test_the_cutoff_is_applied_to_the_ranking(pipeline: Pipeline) -> None:
    params = {**BASE, "retriever": "vector", "top_k": 20}
    (full,) = pipeline.rankings(params, QUESTIONS[:1])
    cutoff = float(full.scores[4])
    (cut,) = pipeline.rankings({**params, "similarity_cutoff": cutoff}, QUESTIONS[:1])
    assert np.array_equal(cut.chunks, full.chunks[full.scores >= cutoff])
    assert len(cut.chunks) >= 5


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("chunk_size", "256", "'256'.*integer"),
        ("chunk_size", 256.0, "256.0.*integer"),
        ("chunk_size", True, "True.*integer"),
        ("chunk_size", 0, "0.*greater than 0"),
        ("chunk_size", -1, "-1.*greater than 0"),
        ("top_k", 0, "0.*greater than 0"),
        ("chunk_overlap", -0.1, "-0.1.*greater than or equal to 0"),
        ("chunk_overlap", float("inf"), "inf.*finite"),
        ("similarity_cutoff", float("nan"), "nan.*finite"),
        ("fusion_weight", 1.5, "1.5.*less than or equal to 1"),
        ("temperature", 3, "3.*less than or equal to 2"),
        ("splitter", "sentense", "'sentense'.*did you mean 'sentence'"),
        ("window_size", -1, "-1.*greater than or equal to 0"),
        ("breakpoint_percentile", 101, "101.*less than or equal to 100"),
        ("retriever", "BM25", "'BM25' is unknown.*bm25, hybrid, vector"),
        ("embedding", None, "None.*string"),
    ],
)
def test_a_wrong_value_is_refused(name: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s)^{name}.*{words}"):
        check_value(name, value)


def test_an_unknown_parameter_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"'chunksize'.*did you mean 'chunk_size'"):
        check({"chunksize": 256})


@pytest.mark.parametrize(
    ("params", "error", "words"),
    [
        ({"chunk_size": 64, "chunk_overlap": 64}, ConfigError, "chunk_overlap 64"),
        ({"prompt": "Answer!"}, ConfigError, "context_str"),
        ({"retriever": "hybrid", "top_k": 101}, ConfigError, "top_k 101.*fusion_depth 100"),
        ({"embedding": "minilmm"}, ModelError, "did you mean 'minilm'"),
        ({"llm": "mocc"}, ModelError, "did you mean 'mock'"),
    ],
)
def test_a_configuration_that_cannot_run_is_refused(params: dict[str, Any], error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        check(params)


def test_what_may_run_is_not_refused() -> None:
    check({})
    check(defaults())
    check({"retriever": "vector", "top_k": 1000, "chunk_overlap": 0, "similarity_cutoff": None, "fusion_weight": 1})


@pytest.mark.parametrize("splitter", ["sentence", "sentence_window", "whole"])
def test_texts_are_those_of_the_contexts(pipeline: Pipeline, splitter: str) -> None:
    params = {**BASE, "splitter": splitter}
    rankings = pipeline.rankings(params, QUESTIONS)
    contexts = [[chunk.text for chunk in pipeline.contexts(params, ranking)] for ranking in rankings]
    assert pipeline.texts(params, rankings) == contexts
    assert any(contexts)
