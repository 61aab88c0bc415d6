"""A document: its text, and where it came from."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass


@dataclass(frozen=True)
class Document:
    """One document.

    Attributes:
        id: Its name, unique in the collection: a relative path, or the id it has in its collection.
        text: Its whole text; all spans count characters of it.
        source: The file it was read from, where there is one.
        pages: For a document with pages, the first character of each, rising from 0.
    """

    id: str
    text: str
    source: str | None = None
    pages: tuple[int, ...] = ()

    def page(self, position: int) -> int | None:
        """The page, counted from 1, on which a character stands; None for a document without pages."""
        return bisect_right(self.pages, position) or None
