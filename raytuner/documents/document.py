"""A document: its text, and where it came from."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from pickle import PickleBuffer
from typing import Any

SHARED = 4096
"""Texts of so many bytes are handed to other processes as buffers, of which these need no copies of their own."""


@dataclass(frozen=True)
class Document:
    """One document.

    A long text that came from another process stays encoded where that has put it, in memory that all share, and is
    decoded when it is asked for.

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
        """The page, counted from 1, on which a character stands; None for a document without pages.

        Args:
            position: The character, counted from 0.
        """
        return bisect_right(self.pages, position) or None

    def __getattr__(self, name: str) -> Any:
        """The text of a document whose encoded text is shared."""
        encoded = self.__dict__.get("_encoded") if name == "text" else None
        if encoded is None:
            raise AttributeError(name)
        return _decoded(encoded)

    def __reduce_ex__(self, protocol: Any) -> Any:
        """As pickle wants it: the text by itself, so that it can travel as a buffer."""
        encoded = self.text.encode("utf-8", "surrogatepass")
        text = PickleBuffer(encoded) if protocol >= 5 and len(encoded) >= SHARED else encoded
        return _restored, (self.id, text, self.source, self.pages)


def _restored(id_: str, encoded: Any, source: str | None, pages: tuple[int, ...]) -> Document:
    if isinstance(encoded, bytes):
        return Document(id_, encoded.decode("utf-8", "surrogatepass"), source, pages)
    document = object.__new__(Document)
    document.__dict__.update(id=id_, source=source, pages=pages, _encoded=memoryview(encoded))
    return document


_last: tuple[memoryview, str] = memoryview(b""), ""


def _decoded(encoded: memoryview) -> str:
    """The text behind a buffer; the last one is kept, since its parts are often asked for one after the other."""
    global _last  # noqa: PLW0603 - one for the process
    known, text = _last
    if known is not encoded:
        text = str(encoded, "utf-8", "surrogatepass")
        _last = encoded, text
    return text
