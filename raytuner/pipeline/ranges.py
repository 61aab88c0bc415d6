"""Rules that cut a text into character ranges of at most so many tokens."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

from raytuner.errors import ConfigError
from raytuner.pipeline.chunk import token_counter
from raytuner.pipeline.locate import Range, locate, trim
from raytuner.pipeline.nltk_data import use_readable_nltk_data
from raytuner.pipeline.sentences import sentence_pieces, sentences

Cut = Callable[[str], Iterable[Range]]
"""From a text to ranges of it."""


def by_sentences(chunk_size: int, chunk_overlap: int) -> Cut:
    """LlamaIndex's ``SentenceSplitter``, which also knows the sentence ends of Chinese and Japanese."""
    use_readable_nltk_data()
    from llama_index.core.node_parser import SentenceSplitter

    splitter = SentenceSplitter(
        chunk_size=chunk_size, chunk_overlap=chunk_overlap, chunking_tokenizer_fn=sentence_pieces
    )
    return _located(splitter.split_text, chunk_size)


def by_words(chunk_size: int, chunk_overlap: int) -> Cut:
    """LlamaIndex's ``TokenTextSplitter``."""
    use_readable_nltk_data()
    from llama_index.core.node_parser import TokenTextSplitter

    return _located(TokenTextSplitter(chunk_size=chunk_size, chunk_overlap=chunk_overlap).split_text, chunk_size)


def _located(split_text: Callable[[str], list[str]], chunk_size: int) -> Cut:
    def cut(text: str) -> list[Range]:
        _check_characters(text, chunk_size)
        return locate(text, split_text(text)) if text.strip() else []

    return cut


def _check_characters(text: str, chunk_size: int) -> None:
    """Refuse a chunk size below the tokens of a single character: LlamaIndex fails on it, or exceeds it."""
    count = token_counter()
    widest = max(sorted(set(text)), key=count, default="")
    if count(widest) > chunk_size:
        raise ConfigError(
            f"chunk_size {chunk_size} is too small: the character {widest!r} alone has {count(widest)} tokens; "
            f"use at least {count(widest)}"
        )


def fitted(text: str, ranges: Iterable[Range], chunk_size: int, cut: Cut) -> Iterator[Range]:
    """Ranges of a text, those of more than `chunk_size` tokens cut further."""
    count = token_counter()
    for start, end in ranges:
        piece = text[start:end]
        if count(piece) <= chunk_size:
            yield start, end
        else:
            yield from ((start + first, start + last) for first, last in cut(piece))


def sections(text: str) -> list[Range]:
    """The sections of a Markdown text, each with the heading it begins with; they never overlap.

    Headings are those of CommonMark (``#`` and underlined ones), outside of code, lists and quotations.
    """
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").disable("inline").parse(text)
    lines = [0, *(match.end() for match in re.finditer(r"\r\n?|\n", text))]
    headings = [
        lines[token.map[0]] for token in tokens if token.type == "heading_open" and token.map and not token.level
    ]
    ranges = (trim(text, start, end) for start, end in pairwise(sorted({0, *headings, len(text)})))
    return [(start, end) for start, end in ranges if start < end]


def _behind(pattern: str) -> Callable[[str], list[int]]:
    return lambda text: [match.end() for match in re.finditer(pattern, text)]


_SEPARATORS: tuple[Callable[[str], Iterable[int]], ...] = (
    _behind(r"(?:\r?\n){2,}"),
    _behind(r"\n"),
    lambda text: [start for start, _ in sentences(text)],
    lambda text: [match.start() for match in re.finditer(r"\s+", text)],  # " word" is one token
    lambda text: range(1, len(text)),
)
"""From the coarsest to the finest: where parts begin at paragraphs, lines, sentences, words, characters."""


def by_separators(chunk_size: int, chunk_overlap: int) -> Cut:
    """LangChain's rule ``RecursiveCharacterTextSplitter``, sizes in tokens.

    The text is cut at the first separator; what is still too long is cut at the next one, and so on. Neighbouring
    parts that fit are put together as long as they fit.
    """

    def cut(text: str) -> Iterator[Range]:
        _check_characters(text, chunk_size)
        covered = 0
        for start, end in _recursive(text, (0, len(text)), 0, chunk_size, chunk_overlap):
            first, last = trim(text, start, end)
            if first < last and last > covered:  # else it holds nothing new but white space
                yield first, last
                covered = last

    return cut


def _recursive(text: str, whole: Range, level: int, chunk_size: int, chunk_overlap: int) -> Iterator[Range]:
    start, end = whole
    count = token_counter()
    cuts = {start + position for position in _SEPARATORS[level](text[start:end])}
    fitting: list[tuple[Range, int]] = []
    for part in pairwise(sorted({start, end} | cuts)):
        tokens = count(text[part[0] : part[1]])
        if tokens <= chunk_size:
            fitting.append((part, tokens))
            continue
        yield from _merged(fitting, chunk_size, chunk_overlap)
        fitting = []
        yield from _recursive(text, part, level + 1, chunk_size, chunk_overlap)
    yield from _merged(fitting, chunk_size, chunk_overlap)


def _merged(parts: Iterable[tuple[Range, int]], chunk_size: int, chunk_overlap: int) -> Iterator[Range]:
    """Neighbouring parts put together up to the size, beginning with parts of the last chunk up to the overlap."""
    window: deque[tuple[Range, int]] = deque()
    total = 0
    for part, tokens in parts:
        if window and total + tokens > chunk_size:
            yield window[0][0][0], window[-1][0][1]
            while window and (total > chunk_overlap or total + tokens > chunk_size):
                total -= window.popleft()[1]
        window.append((part, tokens))
        total += tokens
    if window:
        yield window[0][0][0], window[-1][0][1]
