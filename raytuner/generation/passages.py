"""Passages of a collection, drawn evenly over all of its text."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

from raytuner.documents.document import Document
from raytuner.pipeline.sentences import sentences

T = TypeVar("T")

LEAST, MOST = 80, 1200
"""Characters of a passage."""
_HEADING = re.compile(r"^#{1,6}[ \t]+(\S.*?)[ \t#]*$", re.MULTILINE)
_GOLDEN = (5**0.5 - 1) / 2


class Section(NamedTuple):
    """What stands under a heading of Markdown, or before the first one.

    Attributes:
        title: The heading; empty without one.
        start: Where its text begins in the document.
        end: Where it ends.
    """

    title: str
    start: int
    end: int


class Passage(NamedTuple):
    """Neighbouring sentences of a document.

    Attributes:
        document: The document's id.
        start: Where the first one begins.
        sentences: Their places in the document.
        text: From the first sentence to the last.
        title: The heading above it; empty without one.
    """

    document: str
    start: int
    sentences: tuple[tuple[int, int], ...]
    text: str
    title: str


def sections(text: str) -> list[Section]:
    """The sections of a text."""
    found = list(_HEADING.finditer(text))
    starts = [("", 0), *((match[1], match.end()) for match in found)]
    ends = [*(match.start() for match in found), len(text)]
    return [Section(title, start, end) for (title, start), end in zip(starts, ends, strict=True)]


def passages(document: Document) -> Iterator[Passage]:
    """Cut a document into passages of whole sentences, none across a heading."""
    for section in sections(document.text):
        held: list[tuple[int, int]] = []
        for start, end in sentences(document.text[section.start : section.end]):
            start, end = start + section.start, end + section.start  # noqa: PLW2901 - of the document
            if held and end - held[0][0] > MOST:
                yield from _passage(document, section, held)
                held = []
            held.append((start, end))
        yield from _passage(document, section, held)


def _passage(document: Document, section: Section, held: Sequence[tuple[int, int]]) -> Iterator[Passage]:
    if held and held[-1][1] - held[0][0] >= LEAST:
        text = document.text[held[0][0] : held[-1][1]]
        yield Passage(document.id, held[0][0], tuple(held), text, section.title)


def spread(found: Sequence[T], seed: int) -> list[T]:
    """All in an order of which each first part is spread evenly, by the multiples of the golden ratio (Weyl, 1916).

    Args:
        found: In the order of the collection.
        seed: Another seed gives another order.
    """
    shift = random.Random(seed).random()
    count = len(found)
    taken = dict.fromkeys(int((shift + step * _GOLDEN) % 1 * count) for step in range(8 * count))
    return [found[at] for at in (*taken, *(at for at in range(count) if at not in taken))]
