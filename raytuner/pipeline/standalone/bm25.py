"""Retrieval by words."""

from __future__ import annotations

from collections.abc import Sequence

import bm25s
import numpy as np
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from raytuner.pipeline.standalone.terms import terms

BM25_K1 = 1.5
BM25_B = 0.75


class BM25Retriever(BaseRetriever):  # type: ignore[misc]
    """The chunks that share words with a question, by Lucene's BM25; equally good ones in the order of the text."""

    def __init__(self, nodes: Sequence[TextNode], depth: int) -> None:
        self._nodes = nodes
        self._depth = depth
        self._index = bm25s.BM25(k1=BM25_K1, b=BM25_B)
        self._index.index([terms(node.text) for node in nodes], show_progress=False)
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        scores = np.zeros(len(self._nodes))
        matrix = self._index.scores  # for each term the chunks that hold it, and what it adds to their scores
        for term in terms(query_bundle.query_str):
            number = self._index.vocab_dict.get(term)
            if number is not None and number < len(matrix["indptr"]) - 1:
                part = slice(matrix["indptr"][number], matrix["indptr"][number + 1])
                scores[matrix["indices"][part]] += matrix["data"][part]
        scores = scores.round(9)
        order = [int(i) for i in np.argsort(-scores, kind="stable")[: self._depth] if scores[i] > 0]
        return [NodeWithScore(node=self._nodes[i], score=float(scores[i])) for i in order]
