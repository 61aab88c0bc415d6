"""Chunks, and how their size is counted."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, NamedTuple

from annotated_types import Ge, Gt

from raytuner.errors import ConfigError
from raytuner.store import records

ChunkSize = Annotated[int, Gt(0)]
ChunkOverlap = Annotated[float, Ge(0)]


class Chunk(NamedTuple):
    """A piece of a document: ``documents[document].text[start:end] == text``."""

    document: int
    start: int
    end: int
    tokens: int
    text: str


CHUNKS = records(Chunk)
"""How lists of chunks are stored."""


@cache
def token_counter() -> Callable[[str], int]:
    """A function that counts the tokens of a text by LlamaIndex's default tokenizer."""
    from llama_index.core.utils import get_tokenizer

    tokenize = get_tokenizer()
    return lambda text: len(tokenize(text))


def overlap_tokens(chunk_size: int, chunk_overlap: float) -> int:
    """The overlap in tokens: a value below 1 is a fraction of the chunk size."""
    return round(chunk_overlap * chunk_size) if chunk_overlap < 1 else int(chunk_overlap)


def check_overlap(chunk_size: int, chunk_overlap: float) -> None:
    """Refuse an overlap that is not below the chunk size.

    Raises:
        ConfigError: With both values.
    """
    if isinstance(chunk_overlap, float) and chunk_overlap >= 1:
        raise ConfigError(f"chunk_overlap {chunk_overlap} is neither a fraction below 1 nor a whole number of tokens")
    if overlap_tokens(chunk_size, chunk_overlap) >= chunk_size:
        raise ConfigError(
            f"chunk_overlap {chunk_overlap:g} is not below chunk_size {chunk_size}; "
            "use fewer tokens, or a fraction below 1"
        )
