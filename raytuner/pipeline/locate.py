"""Where the pieces of a text stand in it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from raytuner.errors import RaytunerError

Range = tuple[int, int]


def trim(text: str, start: int, end: int) -> Range:
    """A range without the white space at its ends."""
    piece = text[start:end]
    solid = piece.lstrip()
    start += len(piece) - len(solid)
    return start, start + len(solid.rstrip())


def locate(text: str, pieces: Sequence[str]) -> list[Range]:
    """Find the character range of each piece of a text.

    The pieces follow each other, may overlap, and skip nothing but white space. Where repeated
    text allows several places, those are kept from which the following pieces can still be found,
    so that the ranges cover the document to its end.

    Args:
        text: The whole text.
        pieces: Consecutive substrings of it, whose starts and ends never go back.

    Returns:
        For each piece its (start, end).

    Raises:
        RaytunerError: A piece is not in the text: the splitter has changed it.
    """
    layers: list[list[int]] = []  # for each piece the places where it may start, rising
    before, length = [0], 0
    for piece, earliest in zip(pieces, _earliest(text, pieces), strict=True):
        # Neither the start of a piece nor its end goes back.
        shift = max(0, length - len(piece))
        windows = ((max(start + shift, earliest), _skip_space(text, start + length)) for start in before)
        before, length = list(_occurrences(text, piece, windows)), len(piece)
        if not before:
            # No text here: errors are logged, and documents must not be.
            raise RaytunerError(f"the splitter changed the text of chunk {len(layers) + 1}: it is not in its document")
        layers.append(before)
    return _trace_back(text, pieces, layers)


def _earliest(text: str, pieces: Sequence[str]) -> list[int]:
    """For each piece the first place from which it and the pieces after it can still cover the rest of the text."""
    solid = [position for position, character in enumerate(text) if not character.isspace()]
    # What is not white space in a piece and all after it.
    left = list(accumulate(len("".join(piece.split())) for piece in reversed(pieces)))[::-1]
    return [solid[-1 - count] + 1 if count < len(solid) else 0 for count in left]


def _occurrences(text: str, piece: str, windows: Iterable[Range]) -> Iterator[int]:
    """Every place in some windows (first and last place, both rising) at which a piece starts."""
    searched = 0
    for low, high in windows:
        start = text.find(piece, max(low, searched), high + len(piece))
        while start >= 0:
            yield start
            start = text.find(piece, start + 1, high + len(piece))
        searched = max(searched, high + 1)


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _back_over_space(text: str, position: int) -> int:
    while position > 0 and text[position - 1].isspace():
        position -= 1
    return position


def _trace_back(text: str, pieces: Sequence[str], layers: list[list[int]]) -> list[Range]:
    """One of the possible places of each piece, from the last to the first."""
    if not layers:
        return []
    overlap = (sum(map(len, pieces)) - len(text)) / len(pieces)  # on the average
    start = layers[-1][-1]  # the place nearest to the end of the document
    starts = [start]
    for number in range(len(pieces) - 2, -1, -1):
        places, length = layers[number], len(pieces[number])
        first = bisect_left(places, _back_over_space(text, start) - length)
        last = bisect_right(places, start - max(0, length - len(pieces[number + 1])))
        usual = start - length + overlap
        start = min((abs(place - usual), place) for place in places[first:last])[1]
        starts.append(start)
    return [(start, start + len(piece)) for start, piece in zip(reversed(starts), pieces, strict=True)]
