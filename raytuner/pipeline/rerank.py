"""Reranking: a LlamaIndex node postprocessor puts what was retrieved into another order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Any

from annotated_types import Gt

from raytuner.components import Component, OwnComponent, component, identity, run_token
from raytuner.documents.document import Document
from raytuner.errors import ConfigError
from raytuner.pipeline.chunk import Chunk
from raytuner.pipeline.nodes import as_nodes, as_ranking
from raytuner.pipeline.retrieve import RANKING, Ranking
from raytuner.pipeline.stage import stage


@stage(version=1, codec=RANKING, libraries=("llama-index-core",), reranker=lambda own: identity(own["reranker"]))
def rerank(
    ranking: Ranking,
    question: str,
    chunks: Sequence[Chunk],
    documents: Sequence[Document],
    *,
    reranker: OwnComponent | None = None,
    rerank_depth: Annotated[int, Gt(0)] = 20,
) -> Ranking:
    """Rerank what was retrieved.

    Args:
        ranking: At least `rerank_depth` deep where there are as many chunks.
        question: The question.
        chunks: All chunks.
        documents: The collection.
        reranker: A ``BaseNodePostprocessor`` of LlamaIndex: its class, a function that makes one, or one itself;
            None keeps the order.
        rerank_depth: How many chunks it gets; it may drop some.

    Returns:
        The chunks in its order, with its scores.

    Raises:
        ConfigError: The reranker cannot be made.
        RaytunerError: It returned something else than what it was given.
    """
    if reranker is None:
        return ranking
    from llama_index.core.schema import NodeWithScore

    positions, scores = ranking.chunks[:rerank_depth].tolist(), ranking.scores[:rerank_depth].tolist()
    nodes = as_nodes(chunks, documents, positions)
    given = [NodeWithScore(node=node, score=score) for node, score in zip(nodes, scores, strict=True)]
    found = _made(component(reranker), rerank_depth, run_token()).postprocess_nodes(given, query_str=question)
    return as_ranking(found, chunks, rerank_depth, f"reranker {reranker}")


def prepare_reranker(reranker: Any, depth: int) -> None:
    """Import and make a reranker, so that a mistake is found before any worker starts.

    Raises:
        ConfigError: It cannot be imported or made, or is none.
    """
    if reranker is not None:
        _made(component(reranker), depth, run_token())


@lru_cache(maxsize=16)
def _made(reranker: Component, depth: int, run: str) -> Any:
    """The reranker, made once a run, since its code may change; one that keeps a few (`top_n`) is told to keep all."""
    made = reranker.make("reranker", top_n=depth)
    if not callable(getattr(made, "postprocess_nodes", None)):
        raise ConfigError(
            f"reranker {reranker}: a {type(made).__name__} has no postprocess_nodes; "
            "name a BaseNodePostprocessor of LlamaIndex"
        )
    return made
