"""Retrievers and rerankers of the user's own, as LlamaIndex has them."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from raytuner.components import component
from raytuner.documents.load import load_documents
from raytuner.errors import ConfigError, RaytunerError
from raytuner.pipeline import parameters as stages
from raytuner.pipeline.pipeline import Pipeline

DOCUMENTS = load_documents("builtin:quickstart")[:3]
QUESTIONS = ["What does a tide depend on?", "How are bees kept?"]
BASE = {"chunk_size": 64, "retriever": "bm25", "top_k": 4}


class Overlap(BaseRetriever):
    """Ranks by the number of shared words."""

    def __init__(self, nodes: list[TextNode], similarity_top_k: int, least: int = 1) -> None:
        super().__init__()
        self.nodes, self.depth, self.least = nodes, similarity_top_k, least

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        words = set(query_bundle.query_str.lower().split())
        scored = [NodeWithScore(node=n, score=len(words & set(n.text.lower().split()))) for n in self.nodes]
        kept = [entry for entry in scored if (entry.score or 0) >= self.least]
        return sorted(kept, key=lambda entry: -(entry.score or 0))[: self.depth]


class Reversed(BaseNodePostprocessor):
    """The last becomes the first."""

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None) -> Any:
        return nodes[::-1]


class Nothing:
    """Neither a retriever nor a reranker."""


def foreign(nodes: list[TextNode]) -> Any:
    """A retriever over something else."""
    return Overlap([TextNode(text="something else about a tide")], 5)


def rankings(**params: Any) -> list[list[int]]:
    pipeline = Pipeline(DOCUMENTS)
    for name in stages.COMPONENTS:
        if name in params:
            params[name] = component(params[name], params.pop("table", None))
    own = {**BASE, **params}
    stages.check(own)
    return [ranking.chunks.tolist() for ranking in pipeline.rankings(own, QUESTIONS)]


def test_an_own_retriever_ranks_raytuners_chunks() -> None:
    pipeline = Pipeline(DOCUMENTS)
    chunks = pipeline.chunks(BASE)
    words = [set(question.lower().split()) for question in QUESTIONS]
    for found, asked in zip(rankings(retriever=Overlap), words, strict=True):
        shared = [len(asked & set(chunk.text.lower().split())) for chunk in chunks]
        assert [shared[position] for position in found] == sorted(shared, reverse=True)[:4]


def test_it_is_found_by_its_dotted_path_and_gets_its_options() -> None:
    path = f"{__name__}.Overlap"
    assert rankings(retriever=path) == rankings(retriever=Overlap)
    table = {"picky": {"path": path, "options": {"least": 1000}}}
    assert rankings(retriever="picky", table=table) == [[], []]


def test_nodes_that_are_no_chunks_are_refused() -> None:
    with pytest.raises(RaytunerError, match="none of raytuner's chunks"):
        rankings(retriever=foreign)


def test_what_is_no_retriever_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no retrieve"):
        rankings(retriever=Nothing)
    with pytest.raises(ConfigError, match="did you mean 'vector'"):
        rankings(retriever="vecter")


def test_a_reranker_reorders_what_was_retrieved() -> None:
    plain = rankings(top_k=5)
    assert rankings(reranker=Reversed, rerank_depth=5, top_k=5) == [found[::-1] for found in plain]
    assert rankings(reranker=Reversed(), rerank_depth=5, top_k=2) == [found[::-1][:2] for found in plain]


def test_rerankers_that_come_with_llamaindex_work() -> None:
    path = "llama_index.core.postprocessor.SimilarityPostprocessor"
    table = {"picky": {"path": path, "options": {"similarity_cutoff": 3.0}}}
    found = rankings(reranker="picky", table=table)
    assert sum(map(len, found)) < sum(map(len, rankings()))
    assert found == rankings(similarity_cutoff=3.0)
    assert rankings(reranker=SimilarityPostprocessor(similarity_cutoff=1e9)) == [[], []]


def test_a_reranker_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no postprocess_nodes"):
        rankings(reranker=Nothing)
    with pytest.raises(ConfigError, match="there is no module 'no_such_module'"):
        rankings(reranker="no_such_module.Reranker")
    with pytest.raises(ConfigError, match="top_k 9 is above rerank_depth 5"):
        rankings(reranker=Reversed, rerank_depth=5, top_k=9)


def test_the_depth_of_the_reranker_is_a_part_of_the_key() -> None:
    pipeline = Pipeline(DOCUMENTS)
    own = {**BASE, "reranker": component(Reversed), "rerank_depth": 5}
    shallow = [found.chunks.tolist() for found in pipeline.rankings(own, QUESTIONS)]
    deep = [found.chunks.tolist() for found in pipeline.rankings({**own, "rerank_depth": 8}, QUESTIONS)]
    assert shallow != deep
    assert deep == rankings(reranker=Reversed, rerank_depth=8)
