"""Chunks that are too long are cut further."""

from __future__ import annotations

from collections.abc import Iterable

from raytuner.pipeline.standalone.by_sentences import sentence_splitter
from raytuner.pipeline.standalone.tokens import count_tokens

CHUNK_SIZE = 512


def fitted(pieces: Iterable[str]) -> list[str]:
    """Pieces of a text, those with too many tokens cut further between sentences."""
    return [
        part
        for piece in pieces
        for part in ([piece] if count_tokens(piece) <= CHUNK_SIZE else sentence_splitter().split_text(piece))
    ]
