"""The splitter ``whole``."""

from __future__ import annotations


def cut(text: str) -> list[str]:
    """A document is one chunk."""
    return [text]
