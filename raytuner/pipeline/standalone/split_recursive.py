"""The splitter ``recursive``."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, pairwise

from raytuner.pipeline.standalone.sentences import sentence_pieces
from raytuner.pipeline.standalone.tokens import count_tokens

CHUNK_SIZE = 512
CHUNK_OVERLAP = 51


def cut(text: str) -> list[str]:
    """Cut a text at paragraphs, and only what is too long at lines, sentences, words, characters."""
    chunks, covered = [], 0
    for start, end in pieces(text, 0, len(text)):
        solid = text[start:end].strip()
        last = start + len(text[start:end].rstrip())
        if solid and last > covered:  # else it holds nothing new but white space
            chunks.append(solid)
            covered = last
    return chunks


def sentence_starts(text: str) -> Iterator[int]:
    """Where sentences begin."""
    parts = sentence_pieces(text)
    for start, part in zip(accumulate(map(len, parts), initial=0), parts, strict=False):
        if part.strip():
            yield start + len(part) - len(part.lstrip())


SEPARATORS: tuple[Callable[[str], Iterable[int]], ...] = (
    lambda text: [match.end() for match in re.finditer(r"(?:\r?\n){2,}", text)],
    lambda text: [match.end() for match in re.finditer(r"\n", text)],
    sentence_starts,
    lambda text: [match.start() for match in re.finditer(r"\s+", text)],
    lambda text: range(1, len(text)),
)


def pieces(text: str, start: int, end: int, level: int = 0) -> Iterator[tuple[int, int]]:
    """Ranges of a text of at most so many tokens, cut at the coarsest separators that do."""
    cuts = {start + position for position in SEPARATORS[level](text[start:end])}
    fitting: list[tuple[int, int, int]] = []
    for first, last in pairwise(sorted({start, end} | cuts)):
        tokens = count_tokens(text[first:last])
        if tokens <= CHUNK_SIZE:
            fitting.append((first, last, tokens))
            continue
        yield from merged(fitting)
        fitting = []
        yield from pieces(text, first, last, level + 1)
    yield from merged(fitting)


def merged(parts: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int]]:
    """Neighbouring parts put together up to the size; a chunk begins with the end of the one before it."""
    window: deque[tuple[int, int, int]] = deque()
    total = 0
    for part in parts:
        if window and total + part[2] > CHUNK_SIZE:
            yield window[0][0], window[-1][1]
            while window and (total > CHUNK_OVERLAP or total + part[2] > CHUNK_SIZE):
                total -= window.popleft()[2]
        window.append(part)
        total += part[2]
    if window:
        yield window[0][0], window[-1][1]
