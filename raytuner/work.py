"""What work a configuration of a RAG pipeline needs that others may share: its chunks and indexes."""

from __future__ import annotations

from raytuner.estimate import TOKENS_PER_SECOND, about, split_key
from raytuner.objective import Objective
from raytuner.pipeline.embed import embed_chunks
from raytuner.pipeline.parameters import route
from raytuner.pipeline.pipeline import Pipeline
from raytuner.pipeline.retrieve import bm25_index
from raytuner.pipeline.splitters import semantic, splitter_stage
from raytuner.rag import RagObjective
from raytuner.search.task import Work
from raytuner.space import Params

SPLIT_TOKENS_PER_SECOND = 100_000
BM25_TOKENS_PER_SECOND = 200_000
"""On one processor; of both only the order of magnitude matters beside embedding."""
OTHER_TOKENS_PER_SECOND = min(TOKENS_PER_SECOND.values())
"""Of embedding models whose speed is not known."""


def work(objective: Objective) -> Work | None:
    """The work of an objective's configurations, from its documents; nothing is imported, split or embedded.

    What is on disk already is not looked at, so that the same seed gives the same search with another cache.

    Args:
        objective: The objective.

    Returns:
        For each configuration the content keys of its chunks and indexes with about the seconds to make each; None for an
        objective that is no RAG pipeline.
    """
    rag = objective.owner
    if not isinstance(rag, RagObjective):
        return None
    pipeline = Pipeline(rag.documents)

    def of(params: Params) -> dict[str, float]:
        own = rag.resolved({**objective.fixed, **params})
        key, tokens, way = split_key(pipeline, own), about(rag, own).tokens, str(route(own))
        embedding = TOKENS_PER_SECOND.get(str(embed_chunks.own(own)["embedding"]), OTHER_TOKENS_PER_SECOND)
        needed = {key: tokens / (embedding if splitter_stage(own) is semantic else SPLIT_TOKENS_PER_SECOND)}
        if way in ("vector", "hybrid"):
            needed[embed_chunks.key(own, key)] = tokens / embedding
        if way in ("bm25", "hybrid"):
            needed[bm25_index.key(own, key)] = tokens / BM25_TOKENS_PER_SECOND
        return needed

    return of
