"""What work a configuration of a RAG pipeline needs that others may share: its chunks and indexes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from raytuner.objective import Objective
from raytuner.search.task import Work
from raytuner.space import Params

if TYPE_CHECKING:
    from raytuner.rag import RagObjective

SPLIT_TOKENS_PER_SECOND = 100_000
BM25_TOKENS_PER_SECOND = 200_000
"""On one processor; of both only the order of magnitude matters beside embedding."""
OTHER_TOKENS_PER_SECOND = 3_000
"""Of embedding models whose speed is not known: that of a small one."""


def work(objective: Objective) -> Work | None:
    """The work of an objective's configurations, from its documents; nothing is imported, split or embedded.

    What is on disk already is not looked at, so that the same seed gives the same search with another cache.

    Args:
        objective: The objective.

    Returns:
        For each configuration the content keys of its chunks and indexes, with about the seconds that each takes;
        None for an objective that is no RAG pipeline.
    """
    if objective.owner is None:
        return None
    from raytuner.rag import RagObjective  # takes long, and only an objective with blocks can be one

    return _work_of(objective.owner, objective) if isinstance(objective.owner, RagObjective) else None


def _work_of(rag: RagObjective, objective: Objective) -> Work:
    from raytuner.counting import about, outside_key
    from raytuner.estimate import TOKENS_PER_SECOND
    from raytuner.pipeline.embed import embed_chunks
    from raytuner.pipeline.pipeline import Pipeline
    from raytuner.pipeline.retrieve import bm25_index
    from raytuner.pipeline.splitters import custom, semantic, splitter_stage

    pipeline = cache(lambda: Pipeline(rag.documents))  # which reads them all: not before some algorithm asks

    def of(params: Params) -> dict[str, float]:
        own = rag.resolved({**objective.fixed, **params})
        chain, part, tokens = pipeline().chain(own), splitter_stage(own), about(own, rag.documents).tokens
        key = outside_key(own) if part is custom else chain.split.key
        embedding = tokens / TOKENS_PER_SECOND.get(str(embed_chunks.own(own)["embedding"]), OTHER_TOKENS_PER_SECOND)
        needed = {key: embedding if part is semantic else tokens / SPLIT_TOKENS_PER_SECOND}
        if chain.embeds:
            needed[embed_chunks.key(own, key)] = embedding
        if chain.way in ("bm25", "hybrid"):
            needed[bm25_index.key(own, key)] = tokens / BM25_TOKENS_PER_SECOND
        return needed

    return of
