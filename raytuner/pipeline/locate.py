"""Where the pieces of a text stand in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    text allows several places, such are taken from which the following pieces can still be found,
    so that the ranges cover the document to its end; among them the most even ones.

    Args:
        text: The whole text.
        pieces: Consecutive substrings of it, whose starts and ends never go back.

    Returns:
        For each piece its (start, end).

    Raises:
        RaytunerError: The pieces do not cover the text: the splitter has changed it.
    """
    earliest = _earliest(text, pieces)
    for number, piece in enumerate(pieces):  # before every combination of places is tried
        if text.find(piece, earliest[number]) < 0:
            raise _changed(number)
    overlap = round((sum(map(len, pieces)) - len(text)) / max(1, len(pieces) - 1))  # on the average

    def places(number: int) -> Iterator[int]:
        """Where a piece may start, after the pieces before it."""
        before = len(pieces[number - 1]) if number else 0
        low = starts[-1] + max(0, before - len(pieces[number])) if number else 0  # its end does not go back either
        end = starts[-1] + before if number else 0
        return _occurrences(text, pieces[number], (max(low, earliest[number]), _skip_space(text, end)), end - overlap)

    starts: list[int] = []
    open_places = [places(0)] if pieces else []
    found, dead = 0, set()  # how many pieces were found at the most; places after which the rest was not found
    while len(starts) < len(pieces):
        number = len(starts)
        place = next((place for place in open_places[-1] if (number, place) not in dead), None)
        if place is not None:
            starts.append(place)
            found = max(found, len(starts))
            open_places.append(places(number + 1) if number + 1 < len(pieces) else iter(()))
        elif starts:
            open_places.pop()
            dead.add((number - 1, starts.pop()))
        else:
            raise _changed(found)
    return [(start, start + len(piece)) for start, piece in zip(starts, pieces, strict=True)]


def _changed(number: int) -> RaytunerError:
    # No text here: errors are logged, and documents must not be.
    return RaytunerError(
        f"the splitter changed the text: from chunk {number + 1} on, its chunks do not cover their document"
    )


def _earliest(text: str, pieces: Sequence[str]) -> list[int]:
    """For each piece the first place from which it and the pieces after it can still cover the rest of the text."""
    solid = [position for position, character in enumerate(text) if not character.isspace()]
    # What is not white space in a piece and all after it.
    left = list(accumulate(len("".join(piece.split())) for piece in reversed(pieces)))[::-1]
    return [solid[-1 - count] + 1 if count < len(solid) else 0 for count in left]


def _occurrences(text: str, piece: str, window: Range, usual: int) -> Iterator[int]:
    """Every place in a window (first and last place) at which a piece starts, those nearest to the usual one first."""
    low, high = window
    length = len(piece)
    usual = max(usual, low - 1)  # a negative end would count from the end of the text
    below = text.rfind(piece, low, min(usual, high) + length)
    above = text.find(piece, usual + 1, high + length)
    while below >= 0 or above >= 0:
        if above < 0 or (below >= 0 and usual - below <= above - usual):
            yield below
            below = text.rfind(piece, low, below - 1 + length)
        else:
            yield above
            above = text.find(piece, above + 1, high + length)


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position
