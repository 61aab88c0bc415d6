"""Splitting documents into chunks that know their exact character range."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, Gt

from raytuner.documents.document import Document
from raytuner.errors import ConfigError, RaytunerError
from raytuner.pipeline.nltk_data import use_readable_nltk_data
from raytuner.pipeline.stage import stage

ChunkSize = Annotated[int, Gt(0)]
ChunkOverlap = Annotated[float, Ge(0)]


class Chunk(NamedTuple):
    """A piece of a document: ``documents[document].text[start:end] == text``."""

    document: int
    start: int
    end: int
    tokens: int
    text: str


def overlap_tokens(chunk_size: int, chunk_overlap: float) -> int:
    """The overlap in tokens: a value below 1 is a fraction of the chunk size."""
    return round(chunk_overlap * chunk_size) if chunk_overlap < 1 else int(chunk_overlap)


def check_chunking(params: Mapping[str, Any]) -> None:
    """Refuse an overlap that is not below the chunk size.

    Raises:
        ConfigError: With both values.
    """
    own = split.own(params)
    size, overlap = own["chunk_size"], own["chunk_overlap"]
    if isinstance(overlap, float) and overlap >= 1:
        raise ConfigError(f"chunk_overlap {overlap} is neither a fraction below 1 nor a whole number of tokens")
    if overlap_tokens(size, overlap) >= size:
        raise ConfigError(
            f"chunk_overlap {overlap:g} is not below chunk_size {size}; use fewer tokens, or a fraction below 1"
        )


@stage(version=1)
def split(
    documents: Sequence[Document],
    *,
    splitter: Literal["sentence", "token"] = "sentence",
    chunk_size: ChunkSize = 512,
    chunk_overlap: ChunkOverlap = 0.1,
) -> list[Chunk]:
    """Split documents with LlamaIndex's splitters.

    Only the bare text is split: LlamaIndex would take the tokens of a document's metadata off the
    chunk size.

    Args:
        documents: The documents.
        splitter: ``sentence`` keeps sentences together, ``token`` cuts at words.
        chunk_size: The most tokens of a chunk, by LlamaIndex's default tokenizer (cl100k); LlamaIndex adds
            up the tokens of its parts, so that the whole may have a few more.
        chunk_overlap: Tokens shared by neighbours; below 1, a fraction of the chunk size.

    Returns:
        The chunks in the order of the text.
    """
    split_text = _splitter(splitter, chunk_size, overlap_tokens(chunk_size, chunk_overlap))
    count = token_counter()
    return [
        Chunk(number, start, end, count(document.text[start:end]), document.text[start:end])
        for number, document in enumerate(documents)
        for start, end in locate(document.text, split_text(document.text))
    ]


@cache
def token_counter() -> Callable[[str], int]:
    """A function that counts the tokens of a text by LlamaIndex's default tokenizer."""
    from llama_index.core.utils import get_tokenizer

    tokenize = get_tokenizer()
    return lambda text: len(tokenize(text))


def _splitter(name: str, chunk_size: int, chunk_overlap: int) -> Callable[[str], list[str]]:
    use_readable_nltk_data()
    from llama_index.core.node_parser import SentenceSplitter, TokenTextSplitter

    splitter = {"sentence": SentenceSplitter, "token": TokenTextSplitter}[name]
    split_text: Callable[[str], list[str]] = splitter(chunk_size=chunk_size, chunk_overlap=chunk_overlap).split_text
    return split_text


def locate(text: str, pieces: Sequence[str]) -> list[tuple[int, int]]:
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
    for piece in pieces:
        # Neither the start of a piece nor its end goes back.
        shift = max(0, length - len(piece))
        windows = ((start + shift, _skip_space(text, start + length)) for start in before)
        before, length = list(_occurrences(text, piece, windows)), len(piece)
        if not before:
            # No text here: errors are logged, and documents must not be.
            raise RaytunerError(f"the splitter changed the text of chunk {len(layers) + 1}: it is not in its document")
        layers.append(before)
    return _trace_back(text, pieces, layers)


def _occurrences(text: str, piece: str, windows: Iterable[tuple[int, int]]) -> Iterator[int]:
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


def _trace_back(text: str, pieces: Sequence[str], layers: list[list[int]]) -> list[tuple[int, int]]:
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
