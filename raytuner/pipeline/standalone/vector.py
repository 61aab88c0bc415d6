"""Retrieval by embedding."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core import VectorStoreIndex
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from raytuner.pipeline.standalone.glue import embed_model

EQUALS = 50


class VectorRetriever(BaseRetriever):  # type: ignore[misc]
    """The chunks nearest to a question by cosine similarity; equally near ones in the order of the text."""

    def __init__(self, nodes: Sequence[TextNode], depth: int) -> None:
        self.index = VectorStoreIndex(list(nodes), embed_model=embed_model())
        self._depth = depth
        # A few more, or it would depend on the vector store which of equally near ones are the last.
        self._nearest = self.index.as_retriever(similarity_top_k=depth + EQUALS)
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        nearest = self._nearest.retrieve(query_bundle)
        found = [NodeWithScore(node=one.node, score=round(one.score, 9)) for one in nearest]
        return sorted(found, key=lambda one: (-one.score, int(one.node.node_id)))[: self._depth]
