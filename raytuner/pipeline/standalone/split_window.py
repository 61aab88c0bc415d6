"""The splitter ``sentence_window``: each sentence is a chunk, and is answered from with those around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import Document, NodeWithScore, TextNode

from raytuner.pipeline.standalone.sentences import sentence_pieces

WINDOW_SIZE = 3


def make_nodes(documents: Sequence[Document]) -> list[TextNode]:
    """Each sentence as a node, with those around it as ``window`` in its metadata; its id is its position."""
    nodes: list[TextNode] = []
    for document in documents:
        pieces = [piece for piece in sentence_pieces(document.text) if piece.strip()]
        for i, piece in enumerate(pieces):
            window = "".join(pieces[max(0, i - WINDOW_SIZE) : i + WINDOW_SIZE + 1]).strip()
            metadata = {**document.metadata, "window": window}
            nodes.append(TextNode(id_=str(len(nodes)), text=piece.strip(), metadata=metadata))
            nodes[-1].excluded_embed_metadata_keys = nodes[-1].excluded_llm_metadata_keys = list(metadata)
    return nodes


class Widened(BaseNodePostprocessor):  # type: ignore[misc]
    """Puts the sentences around it in the place of each retrieved one."""

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: Any = None) -> list[NodeWithScore]:
        return [NodeWithScore(node=self._wide(one.node), score=one.score) for one in nodes]

    @staticmethod
    def _wide(node: Any) -> TextNode:
        metadata = {name: value for name, value in node.metadata.items() if name != "window"}
        wide = TextNode(id_=node.node_id, text=node.metadata["window"], metadata=metadata)
        wide.excluded_embed_metadata_keys = wide.excluded_llm_metadata_keys = list(metadata)
        return wide
