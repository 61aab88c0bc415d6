"""Retrieval by the fusion of two rankings."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle

FUSION = "reciprocal_rank"
FUSION_WEIGHT = 0.5
RANK_CONSTANT = 60


class HybridRetriever(BaseRetriever):  # type: ignore[misc]
    """The fusion of a ranking by embedding and one by words; a ranking without weight is left out."""

    def __init__(self, vector: BaseRetriever, bm25: BaseRetriever, depth: int) -> None:
        self._weighted = [(vector, FUSION_WEIGHT), (bm25, 1 - FUSION_WEIGHT)]
        self._depth = depth
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        nodes, fused = {}, dict[str, float]()
        for retriever, weight in self._weighted:
            ranking = retriever.retrieve(query_bundle) if weight > 0 else []
            for one, part in zip(ranking, contributions([one.score or 0.0 for one in ranking]), strict=True):
                nodes[one.node.node_id] = one.node
                fused[one.node.node_id] = fused.get(one.node.node_id, 0.0) + weight * part
        found = [NodeWithScore(node=nodes[name], score=round(score, 9)) for name, score in fused.items()]
        return sorted(found, key=lambda one: (-one.score, int(one.node.node_id)))[: self._depth]


def contributions(scores: Sequence[float]) -> list[float]:
    """What a ranking adds to the fused scores of its chunks: by their ranks, or by their scores scaled to 0..1."""
    if FUSION == "reciprocal_rank":
        return [1 / (RANK_CONSTANT + rank) for rank in range(1, len(scores) + 1)]
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return [1.0 if high == low else (score - low) / (high - low) for score in scores]
