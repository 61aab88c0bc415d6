"""The splitter ``token``."""

from __future__ import annotations

from llama_index.core.node_parser import TokenTextSplitter

CHUNK_SIZE = 512
CHUNK_OVERLAP = 51


def cut(text: str) -> list[str]:
    """Cut a text between words."""
    return list(TokenTextSplitter(chunk_size=CHUNK_SIZE, chunk_overlap=CHUNK_OVERLAP).split_text(text))
