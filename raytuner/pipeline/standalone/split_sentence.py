"""The splitter ``sentence``."""

from __future__ import annotations

from raytuner.pipeline.standalone.by_sentences import sentence_splitter


def cut(text: str) -> list[str]:
    """Cut a text between sentences."""
    return list(sentence_splitter().split_text(text))
