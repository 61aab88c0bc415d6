"""The splitters: each is a stage of its own, so that its key holds only what it depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge, Le

from raytuner.components import Component, OwnComponent, identity
from raytuner.documents.document import Document
from raytuner.pipeline import ranges
from raytuner.pipeline.chunk import CHUNKS, Chunk, ChunkOverlap, ChunkSize, check_overlap, overlap_tokens, token_counter
from raytuner.pipeline.embed import Embedder, LongText, Model, embedder, model_identity
from raytuner.pipeline.locate import Range, trim
from raytuner.pipeline.node_parser import node_parser, parsed, sizes
from raytuner.pipeline.sentences import sentence_pieces, sentences
from raytuner.pipeline.stage import Identify, Stage, stage

LLAMA_INDEX = ("llama-index-core", "nltk", "tiktoken")
"""What cuts texts and counts their tokens."""

Splitter = Literal["sentence", "token", "markdown", "sentence_window", "semantic", "recursive", "whole"] | OwnComponent


@stage(version=1)
def choose(*, splitter: Splitter = "sentence") -> str | Component:
    """Say which splitter is used.

    Args:
        splitter: How documents are cut; or a LlamaIndex ``NodeParser`` of the user's own.
    """
    return splitter


@stage(version=1, codec=CHUNKS, libraries=LLAMA_INDEX)
def sentence(
    documents: Sequence[Document], *, chunk_size: ChunkSize = 512, chunk_overlap: ChunkOverlap = 0.1
) -> list[Chunk]:
    """Keep sentences together, with LlamaIndex's ``SentenceSplitter``.

    Only the bare text is split: LlamaIndex would take the tokens of a document's metadata off the
    chunk size.

    Args:
        documents: The documents.
        chunk_size: The most tokens of a chunk, by LlamaIndex's default tokenizer (cl100k); the tokens of
            its parts are added up, so that the whole may have a few more.
        chunk_overlap: Tokens shared by neighbours; below 1, a fraction of the chunk size.

    Returns:
        The chunks in the order of the text.
    """
    return _chunks(documents, ranges.by_sentences(chunk_size, overlap_tokens(chunk_size, chunk_overlap)))


@stage(version=1, codec=CHUNKS, libraries=LLAMA_INDEX)
def token(
    documents: Sequence[Document], *, chunk_size: ChunkSize = 512, chunk_overlap: ChunkOverlap = 0.1
) -> list[Chunk]:
    """Cut at words, with LlamaIndex's ``TokenTextSplitter``; see `sentence`."""
    return _chunks(documents, ranges.by_words(chunk_size, overlap_tokens(chunk_size, chunk_overlap)))


@stage(version=1, codec=CHUNKS, libraries=LLAMA_INDEX)
def markdown(
    documents: Sequence[Document], *, chunk_size: ChunkSize = 512, chunk_overlap: ChunkOverlap = 0.1
) -> list[Chunk]:
    """Cut at headings; a section longer than `chunk_size` is cut further like `sentence`."""
    cut = ranges.by_sentences(chunk_size, overlap_tokens(chunk_size, chunk_overlap))
    return _chunks(documents, lambda text: ranges.fitted(text, ranges.sections(text), chunk_size, cut))


@stage(version=1, codec=CHUNKS, libraries=LLAMA_INDEX)
def recursive(
    documents: Sequence[Document], *, chunk_size: ChunkSize = 512, chunk_overlap: ChunkOverlap = 0.1
) -> list[Chunk]:
    """Cut at paragraphs, and only what is too long at lines, sentences, words, characters; see `sentence`."""
    return _chunks(documents, ranges.by_separators(chunk_size, overlap_tokens(chunk_size, chunk_overlap)))


@stage(version=1, codec=CHUNKS, libraries=LLAMA_INDEX)
def sentence_window(documents: Sequence[Document]) -> list[Chunk]:
    """Make each sentence a chunk; see `expand`."""
    return _chunks(documents, sentences)


@stage(version=1)
def expand(
    chunks: Sequence[Chunk],
    documents: Sequence[Document],
    positions: Sequence[int],
    *,
    window_size: Annotated[int, Ge(0)] = 3,
) -> list[Chunk]:
    """Widen retrieved sentences by those around them.

    Args:
        chunks: All chunks, in the order of the text.
        documents: The documents.
        positions: The positions in `chunks` of those that were retrieved.
        window_size: How many sentences are added on each side, within the document.

    Returns:
        One window for each position; windows may overlap.
    """
    count = token_counter()
    windows = []
    for position in positions:
        number, start, end = window(chunks, position, window_size)
        text = documents[number].text[start:end]
        windows.append(Chunk(number, start, end, count(text), text))
    return windows


def window(chunks: Sequence[Chunk], position: int, size: int) -> tuple[int, int, int]:
    """Where the sentences around a retrieved one stand: the number of the document, start and end."""
    number = chunks[position].document
    around = chunks[max(0, position - size) : position + size + 1]
    inside = [chunk for chunk in around if chunk.document == number]
    return number, inside[0].start, inside[-1].end


@stage(version=1, codec=CHUNKS, libraries=LLAMA_INDEX, shares_work=True, embedding=model_identity)
def semantic(
    documents: Sequence[Document],
    *,
    chunk_size: ChunkSize = 512,
    breakpoint_percentile: Annotated[float, Ge(0), Le(100)] = 95,
    embedding: Model = "minilm",
    long_text: LongText = "windows",
) -> list[Chunk]:
    """Cut where the meaning changes, by the rule of LlamaIndex's ``SemanticSplitterNodeParser``.

    Args:
        documents: The documents.
        chunk_size: A chunk with more tokens is cut further like `sentence`, without overlap.
        breakpoint_percentile: A document is cut between two sentences whose cosine distance, each with a
            sentence on both sides, is above this percentile of all such distances in the document.
        embedding: The pipeline's own embedding model.
        long_text: See `embed_chunks`.

    Returns:
        The chunks in the order of the text.
    """
    model = embedder(embedding, long_text)
    groups = [group for document in documents for group in _groups(document.text)]
    if groups:
        model.texts(groups)  # all at once; it remembers them
    cut = ranges.by_sentences(chunk_size, 0)
    return _chunks(
        documents,
        lambda text: ranges.fitted(text, _topics(text, model, breakpoint_percentile), chunk_size, cut),
    )


def _topics(text: str, model: Embedder, percentile: float) -> list[Range]:
    """Runs of sentences between which the meaning changes."""
    bounds = [0, *accumulate(map(len, sentence_pieces(text)))]
    breaks: list[int] = []
    if len(bounds) > 2:
        vectors = model.texts(_groups(text)).astype(np.float64)
        distances = 1 - np.sum(vectors[:-1] * vectors[1:], axis=1)
        breaks = (np.flatnonzero(distances > np.percentile(distances, percentile)) + 1).tolist()
    topics = (trim(text, start, end) for start, end in pairwise([0, *(bounds[i] for i in breaks), len(text)]))
    return [(start, end) for start, end in topics if start < end]


def _groups(text: str) -> list[str]:
    """Each sentence with the one before and the one after it, joined as LlamaIndex joins them."""
    pieces = sentence_pieces(text)
    return ["".join(pieces[max(0, i - 1) : i + 2]) for i in range(len(pieces))]


@stage(version=1)
def whole(documents: Sequence[Document]) -> list[Chunk]:
    """Make each document one chunk."""
    return _chunks(documents, lambda text: [(0, len(text))] if text.strip() else [])


def _if_taken(name: str) -> Identify:
    """A size is in the key only if the node parser takes it."""
    return lambda own: str(sizes(own).get(name))


@stage(
    version=1,
    codec=CHUNKS,
    libraries=LLAMA_INDEX,
    splitter=lambda own: identity(own["splitter"]),
    chunk_size=_if_taken("chunk_size"),
    chunk_overlap=_if_taken("chunk_overlap"),
)
def custom(
    documents: Sequence[Document],
    *,
    splitter: Splitter = "sentence",
    chunk_size: ChunkSize = 512,
    chunk_overlap: ChunkOverlap = 0.1,
) -> list[Chunk]:
    """Split with a LlamaIndex ``NodeParser``, given by dotted path (a class, function or object) or as an object."""
    parser = node_parser({"splitter": splitter, "chunk_size": chunk_size, "chunk_overlap": chunk_overlap})
    return _chunks(documents, lambda text: parsed(parser, text))


def _chunks(documents: Sequence[Document], cut: ranges.Cut) -> list[Chunk]:
    return list(_each_chunk(documents, cut))


def _each_chunk(documents: Sequence[Document], cut: ranges.Cut) -> Iterator[Chunk]:
    count = token_counter()
    for number, document in enumerate(documents):
        for start, end in cut(document.text):
            text = document.text[start:end]
            yield Chunk(number, start, end, count(text), text)


SPLITTERS: dict[str, Stage] = {
    part.name: part for part in (sentence, token, markdown, recursive, sentence_window, semantic, whole)
}


def splitter_stage(params: Mapping[str, Any]) -> Stage:
    """The stage that splits the documents of a configuration."""
    name = choose(params)
    return SPLITTERS.get(name, custom) if isinstance(name, str) else custom


def check_chunking(params: Mapping[str, Any]) -> None:
    """Refuse an overlap that is not below the chunk size, where the splitter has both.

    One of the user's own may have both; whether it does, only importing it would show, and a look at a config does not.

    Raises:
        ConfigError: With both values.
    """
    part = splitter_stage(params)
    own = part.own(params)
    if "chunk_overlap" in own:
        check_overlap(own["chunk_size"], own["chunk_overlap"])


def prepare_splitter(params: Mapping[str, Any]) -> None:
    """Import a splitter from outside, so that a mistake in it is found before any worker starts.

    Raises:
        ConfigError: It cannot be imported or made.
    """
    if splitter_stage(params) is custom:  # an overlap that does not fit is a matter of single configurations
        node_parser({**custom.own(params), "chunk_overlap": 0})
