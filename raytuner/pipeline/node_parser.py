"""Splitters from outside: LlamaIndex's node parsers, by dotted path or as objects."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from raytuner.components import Component, component
from raytuner.errors import ConfigError, RaytunerError
from raytuner.pipeline.chunk import check_overlap, overlap_tokens
from raytuner.pipeline.locate import Range, locate


def sizes(own: Mapping[str, Any]) -> dict[str, int]:
    """Those of ``chunk_size`` and ``chunk_overlap`` (in tokens) that a node parser's constructor takes.

    Args:
        own: ``splitter``, ``chunk_size`` and ``chunk_overlap``.
    """
    splitter = component(own["splitter"])
    found = splitter.target("splitter") if isinstance(splitter, Component) else None
    if not callable(found) or _is_parser(found):
        return {}
    every = {
        "chunk_size": own["chunk_size"],
        "chunk_overlap": overlap_tokens(own["chunk_size"], own["chunk_overlap"]),
    }
    return {name: value for name, value in every.items() if name in inspect.signature(found).parameters}


def node_parser(own: Mapping[str, Any]) -> Any:
    """Make the node parser that a configuration names.

    Args:
        own: ``splitter``, ``chunk_size`` and ``chunk_overlap``.

    Returns:
        A LlamaIndex ``NodeParser``.

    Raises:
        ConfigError: The path leads nowhere, or to something that is or makes no node parser.
    """
    name: Component = component(own["splitter"])
    found = name.target("splitter")
    if _is_parser(found):
        return found
    if not callable(found):
        raise ConfigError(f"splitter {name} is a {type(found).__name__}; it should be a LlamaIndex NodeParser")
    options = sizes(own)
    if len(options) == 2:
        check_overlap(own["chunk_size"], own["chunk_overlap"])
    parser = name.call(found, "splitter", **options)
    if not _is_parser(parser):
        raise ConfigError(f"splitter {name} makes a {type(parser).__name__}; it should make a LlamaIndex NodeParser")
    return parser


def parsed(parser: Any, text: str) -> list[Range]:
    """The ranges of a node parser's nodes in a text.

    Nodes that cover the text one after the other are found by that: LlamaIndex itself takes the next place with the
    same text, which is wrong where text repeats. Nodes that leave text out are where LlamaIndex says.

    Raises:
        RaytunerError: The parser has changed the text.
    """
    from llama_index.core.schema import Document, MetadataMode

    nodes = parser.get_nodes_from_documents([Document(text=text)])
    pieces = [(node, node.get_content(metadata_mode=MetadataMode.NONE)) for node in nodes]
    pieces = [(node, piece) for node, piece in pieces if piece.strip()]
    try:
        return locate(text, [piece for _, piece in pieces])
    except RaytunerError:
        own = [_own_range(node) for node, _ in pieces]
        if all(text[start:end] == piece for (start, end), (_, piece) in zip(own, pieces, strict=True)):
            return own
        raise


def _own_range(node: Any) -> Range:
    start, end = getattr(node, "start_char_idx", None), getattr(node, "end_char_idx", None)
    return (0, 0) if start is None or end is None else (start, end)


def _is_parser(value: Any) -> bool:
    from llama_index.core.node_parser import NodeParser

    return isinstance(value, NodeParser)
