"""Passages of documents that are known by their text alone."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

_WORD = re.compile(r"\S+")


class Locator:
    """Finds passages in documents: exactly, else but for white space.

    Args:
        texts: The documents' texts by id; the order in which they are searched.
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._documents = {name: _Searchable(text) for name, text in texts.items()}

    def find(self, passage: str, likely: str = "") -> tuple[str, int, int] | None:
        """Look for a passage.

        Args:
            passage: Its text; where it occurs several times the first place counts.
            likely: The id of the document that is searched first, if any.

        Returns:
            The document's id, the first character and the one after the last; None if it is nowhere.
        """
        normalised = " ".join(passage.split())
        if not normalised:
            return None
        own = [likely] if likely in self._documents else []
        for names in (own, self._documents):
            found = next(self._places(passage, normalised, names), None)
            if found is not None:
                return found
        return None

    def _places(self, passage: str, normalised: str, names: Iterable[str]) -> Iterator[tuple[str, int, int]]:
        for name in names:
            start = self._documents[name].text.find(passage)
            if start >= 0:
                yield name, start, start + len(passage)
        for name in names:
            span = self._documents[name].find(normalised)
            if span is not None:
                yield name, *span


class _Searchable:
    """A text, and the same with single spaces for all white space."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def _normalised(self) -> tuple[str, Sequence[int], Sequence[int]]:
        """The words with single spaces between them; where each of them begins there, and in the text."""
        words, here, there = [], array("q"), array("q")
        length = 0
        for match in _WORD.finditer(self.text):
            words.append(match[0])
            here.append(length)
            there.append(match.start())
            length += len(match[0]) + 1
        return " ".join(words), here, there

    def find(self, normalised: str) -> tuple[int, int] | None:
        """The first place of a passage whose white space is already normalised."""
        first = self._normalised[0].find(normalised)
        if first < 0:
            return None
        return self._original(first), self._original(first + len(normalised) - 1) + 1

    def _original(self, place: int) -> int:
        """Where a character of a word stands in the text."""
        _, here, there = self._normalised
        word = bisect_right(here, place) - 1
        return there[word] + place - here[word]
