"""Chunks as LlamaIndex's nodes, for components that work on nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from raytuner.documents.document import Document
from raytuner.errors import RaytunerError
from raytuner.pipeline.chunk import Chunk
from raytuner.pipeline.retrieve import Ranking


def as_nodes(
    chunks: Sequence[Chunk], documents: Sequence[Document], positions: Iterable[int] | None = None
) -> list[Any]:
    """LlamaIndex nodes of chunks.

    Args:
        chunks: The chunks.
        documents: The collection they were cut from.
        positions: Which chunks, in which order; all by default.

    Returns:
        One ``TextNode`` a chunk: its id is the chunk's position, its metadata name the document (and page), and
        are kept out of what is embedded or given to an LLM.
    """
    from llama_index.core.schema import TextNode

    nodes = []
    for position in range(len(chunks)) if positions is None else positions:
        chunk = chunks[position]
        document = documents[chunk.document]
        metadata = {"document": document.id, "source": document.source, "page": document.page(chunk.start)}
        node = TextNode(
            text=chunk.text,
            id_=str(position),
            start_char_idx=chunk.start,
            end_char_idx=chunk.end,
            metadata={name: value for name, value in metadata.items() if value is not None},
        )
        node.excluded_embed_metadata_keys = node.excluded_llm_metadata_keys = list(node.metadata)
        nodes.append(node)
    return nodes


def as_ranking(found: Sequence[Any], chunks: Sequence[Chunk], depth: int, who: str) -> Ranking:
    """The ranking that a component's answer means, in its order.

    Args:
        found: LlamaIndex's ``NodeWithScore`` objects, best first.
        chunks: The chunks.
        depth: How many were asked for.
        who: The component, for messages.

    Returns:
        At most `depth` chunks, each once. A missing score counts as the one before it.

    Raises:
        RaytunerError: A node is none of the chunks.
    """
    ranked: dict[int, float] = {}
    last = 0.0
    for entry in found:
        position = _position(entry.node, chunks, who)
        last = last if entry.score is None else float(entry.score)
        ranked.setdefault(position, last)
    positions = np.array(list(ranked), dtype=np.int64)[:depth]
    return Ranking(positions, np.array(list(ranked.values()), dtype=np.float64)[:depth], depth)


def _position(node: Any, chunks: Sequence[Chunk], who: str) -> int:
    """Which chunk a node is: by its id, as raytuner's nodes have it, if its range agrees."""
    name = str(node.node_id)
    position = int(name) if name.isdecimal() and name.isascii() else -1
    if 0 <= position < len(chunks) and getattr(node, "start_char_idx", None) == chunks[position].start:
        return position
    raise RaytunerError(
        f"{who} returned a node that is none of raytuner's chunks; name a class or function that takes `nodes` "
        "and returns those"
    )
