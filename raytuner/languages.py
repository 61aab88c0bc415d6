"""Whether the models understand the language of the texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from raytuner.models.wheels import REGISTRY
from raytuner.words import not_latin

MOST_NOT_LATIN = 0.2
"""The share of letters that are not Latin from which on a text is not taken for English."""


def foreign(embeddings: Mapping[str, str], texts: Mapping[str, Sequence[str]]) -> list[str]:
    """Say which embedding models know English only, where texts are in other scripts.

    Args:
        embeddings: Embedding models: what the configuration calls each, and the model it is.
        texts: What is embedded, by what it is called in messages: ``documents``, ``questions``.

    Returns:
        One line for each such model; none if the texts may well be English.
    """
    english = [name for name, model in embeddings.items() if model in REGISTRY and REGISTRY[model].english_only]
    found = _found(texts) if english else None
    return [
        f"{name} was trained on English, and {found}; use retriever bm25 or a multilingual embedding"
        for name in english
        if found
    ]


def _found(texts: Mapping[str, Sequence[str]]) -> str | None:
    for what, ones in texts.items():
        letters = not_latin(ones)
        if letters.share > MOST_NOT_LATIN:
            return f"{letters.share:.0%} of the letters of the {what} are {' and '.join(letters.scripts)}"
    return None
