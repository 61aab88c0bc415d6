"""Keeping the text of documents out of what is logged."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

SHORTEST = 24
"""Fewer characters in a row than this may agree with a document by chance."""
LOOKED_AT = 4000
"""Of a longer error only so many characters are kept, from its end, if documents have to be looked for."""


def texts_of(value: Any, depth: int = 4) -> Iterator[str]:
    """The texts in a value: strings, and those in containers, in ``text`` attributes and in dict values.

    Args:
        value: Any value.
        depth: How far containers are opened.
    """
    if isinstance(value, str):
        if len(value) >= SHORTEST:
            yield value
    elif depth and isinstance(value, Mapping):
        for inner in value.values():
            yield from texts_of(inner, depth - 1)
    elif depth and isinstance(value, (list, tuple, set, frozenset)):
        for inner in value:
            yield from texts_of(inner, depth - 1)
    elif isinstance(getattr(value, "text", None), str):
        yield from texts_of(value.text)


def as_written(texts: Iterable[str]) -> Iterator[str]:
    """Texts, and how they look in a repr or as JSON, as messages quote them."""
    for text in texts:
        yield from dict.fromkeys((text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]))


def withhold(message: str, texts: Iterable[str]) -> str:
    """Replace what a message quotes from some texts.

    Args:
        message: E.g. a traceback whose exception quotes what it could not parse.
        texts: The texts that must not be repeated.

    Returns:
        The message with each run of `SHORTEST` or more characters of a text replaced.
    """
    private = list(texts)
    if not private:
        return message
    message = message[-LOOKED_AT:]
    kept, position = [], 0
    while position < len(message):
        length = _shared(message, position, private)
        kept.append("<text withheld>" if length else message[position])
        position += length or 1
    return "".join(kept)


def _shared(message: str, position: int, texts: list[str]) -> int:
    """How many characters from a position on stand in one of the texts, if they are enough to matter."""
    start = message[position : position + SHORTEST]
    if len(start) < SHORTEST or start.isspace():
        return 0
    longest = 0
    for text in texts:
        if start in text:
            end = position + SHORTEST
            while end < len(message) and message[position : end + 1] in text:
                end += 1
            longest = max(longest, end - position)
    return longest
