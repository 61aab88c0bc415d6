"""Where the pieces of a text stand."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytuner.errors import RaytunerError
from raytuner.pipeline.locate import locate, trim


@pytest.mark.parametrize(
    ("text", "pieces", "expected"),
    [
        ("a b", ["a", "b"], [(0, 1), (2, 3)]),
        (" \n a  ", ["a"], [(3, 4)]),
        ("abcabc", ["abc", "abc"], [(0, 3), (3, 6)]),
        ("aaaa", ["aa", "aa", "aa"], [(0, 2), (1, 3), (2, 4)]),
        ("x x x y", ["x x", "x y"], [(0, 3), (4, 7)]),
        ("ababab!", ["abab", "ab!"], [(0, 4), (4, 7)]),
        ("", [], []),
    ],
)
def test_locate(text: str, pieces: list[str], expected: list[tuple[int, int]]) -> None:
    assert locate(text, pieces) == expected


@pytest.mark.parametrize(
    ("text", "pieces", "number"),
    [
        ("a b c", ["a", "B", "c"], 2),
        ("a b c", ["a", "c"], 1),
        ("a b", ["b", "a"], 2),
        ("ab", ["aB"], 1),
        ("a b c", ["a", "b"], 1),
        ("aaa", ["aa"], 1),
    ],
)
def test_a_changed_or_lost_text_is_noticed(text: str, pieces: list[str], number: int) -> None:
    with pytest.raises(RaytunerError, match=f"changed the text: from chunk {number} on"):
        locate(text, pieces)


@given(st.text("ab ", min_size=1, max_size=60), st.data())
def test_every_cut_of_a_repetitive_text_is_found(text: str, data: st.DataObject) -> None:
    pieces, start, end = [], 0, 0
    while end < len(text.rstrip()):
        start = data.draw(st.integers(start, end))
        end = data.draw(st.integers(max(end, start) + 1, len(text)))
        if piece := text[start:end].strip():
            pieces.append(piece)
    covered = 0
    for (first, last), piece in zip(locate(text, pieces), pieces, strict=True):
        assert text[first:last] == piece
        assert not text[covered:first].strip()
        covered = last
    assert not text[covered:].strip()


@pytest.mark.parametrize("text", ["a" * 120_000, "| 0 | 0 |\n" * 12_000])
def test_a_long_repetitive_text_takes_no_time(text: str) -> None:
    pieces = [text[start : start + 500].strip() for start in range(0, len(text), 400)]
    started = time.process_time()
    found = locate(text, pieces)
    assert time.process_time() - started < 5  # far more than it takes; trying every place took minutes
    assert [text[start:end] for start, end in found] == pieces


def test_a_change_in_a_long_repetitive_text_is_noticed_at_once() -> None:
    text = "a" * 120_000
    pieces = [text[start : start + 500] for start in range(0, len(text), 400)]
    started = time.process_time()
    with pytest.raises(RaytunerError, match=f"from chunk {len(pieces)} on"):
        locate(text, [*pieces[:-1], pieces[-1] + "b"])
    assert time.process_time() - started < 5


def test_trim() -> None:
    assert trim("  a b \n", 0, 7) == (2, 5)
    assert trim("  a b \n", 1, 4) == (2, 3)
    assert trim("a  b", 1, 3) == (3, 3)
