"""Chunks as nodes."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.schema import Document, TextNode

from raytuner.pipeline.standalone.glue import cut


def make_nodes(documents: Sequence[Document]) -> list[TextNode]:
    """The chunks of all documents in the order of the text; the id of a node is its position."""
    nodes: list[TextNode] = []
    for document in documents:
        for text in cut(document.text):
            nodes.append(TextNode(id_=str(len(nodes)), text=text, metadata=dict(document.metadata)))
            nodes[-1].excluded_embed_metadata_keys = nodes[-1].excluded_llm_metadata_keys = list(document.metadata)
    return nodes
