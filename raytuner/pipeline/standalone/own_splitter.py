"""A splitter of your own."""

from __future__ import annotations

import inspect
from functools import cache
from typing import Any

from llama_index.core.node_parser import NodeParser
from llama_index.core.schema import Document

from raytuner.pipeline.standalone.glue import own_splitter, splitter_options

CHUNK_SIZE = 512
CHUNK_OVERLAP = 51


@cache
def node_parser() -> Any:
    """The node parser: itself, or what its class or function makes of those of the sizes that it takes."""
    if isinstance(own_splitter, NodeParser):
        return own_splitter
    taken = inspect.signature(own_splitter).parameters
    sizes = {"chunk_size": CHUNK_SIZE, "chunk_overlap": CHUNK_OVERLAP}
    return own_splitter(**{name: size for name, size in sizes.items() if name in taken} | splitter_options())


def cut(text: str) -> list[str]:
    """Cut a text."""
    nodes = node_parser().get_nodes_from_documents([Document(text=text)])
    return [node.text for node in nodes if node.text.strip()]
