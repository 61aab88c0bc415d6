"""What a search will compute, before anything is spent: from its space, and from what the cache has already."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from raytuner.pipeline.cache import shared_cache
from raytuner.pipeline.chunk import CHUNKS, Chunk, overlap_tokens
from raytuner.pipeline.embed import embed_chunks
from raytuner.pipeline.generate import EXTRACTIVE, generate
from raytuner.pipeline.parameters import route
from raytuner.pipeline.pipeline import Pipeline
from raytuner.pipeline.splitters import custom, semantic, sentence_window, splitter_stage, whole
from raytuner.pipeline.stage import digest
from raytuner.rag import RagObjective
from raytuner.space import Raw, SearchSpace

MAX_TRIALS = 2_000
"""So many trials are looked at; of more it would take too long."""

CHARACTERS_PER_TOKEN = 4
SENTENCE_TOKENS = 25

TOKENS_PER_SECOND = {"minilm": 3_300, "wordllama": 200_000}
"""Of the built-in models, on one processor; measured where the benchmarks' results were."""


@dataclass(frozen=True)
class Embedding:
    """What one model embeds.

    Attributes:
        model: Its name.
        chunks: How many chunks, in all ways of cutting.
        tokens: About how many tokens they have.
        there: How many of them are on disk already.
    """

    model: str
    chunks: int
    tokens: int
    there: int

    @property
    def seconds(self) -> float | None:
        """About how long the rest takes on all processors of this machine; None for a model that is not built in."""
        rate = TOKENS_PER_SECOND.get(self.model)
        if rate is None or not self.chunks:
            return None if self.chunks > self.there else 0.0
        return self.tokens * (self.chunks - self.there) / self.chunks / rate / (os.cpu_count() or 1)


@dataclass(frozen=True)
class Estimate:
    """About what a search computes: exactly where it tries the whole space, else as if it chose at random.

    Attributes:
        chunkings: How many ways of cutting the documents there are.
        cut: How many of them are on disk already.
        embeddings: What each embedding model has to do.
        answers: How many answers of LLMs there are, before those that trials share.
    """

    chunkings: int
    cut: int
    embeddings: Sequence[Embedding]
    answers: int


def estimate(objective: RagObjective, space: SearchSpace, trials: int | None) -> Estimate:
    """Estimate a search; nothing is split, embedded or sent.

    Args:
        objective: With its documents.
        space: The search space.
        trials: The most trials; None is all of the space.
    """
    pipeline = Pipeline(objective.documents)
    chunkings: dict[str, _Chunking] = {}
    vectors: dict[str, tuple[str, _Chunking]] = {}
    answering = 0
    for own in _configurations(objective, space, trials):
        key = _split_key(pipeline, own)
        chunking = chunkings.setdefault(key, _chunking(objective, own, key))
        if str(route(own)) in ("vector", "hybrid"):
            name = str(embed_chunks.own(own)["embedding"])
            vectors.setdefault(embed_chunks.key(own, key), (name, chunking))
        answering += objective.needs_answers and generate.own(own)["llm"] != EXTRACTIVE
    return Estimate(
        chunkings=len(chunkings),
        cut=sum(chunking.there for chunking in chunkings.values()),
        embeddings=_embeddings(vectors),
        answers=answering * len(objective.questions),
    )


@dataclass(frozen=True)
class _Chunking:
    chunks: int
    tokens: int
    there: bool


def _configurations(objective: RagObjective, space: SearchSpace, trials: int | None) -> Iterator[Mapping[str, Any]]:
    """The configurations of the whole space, or as many different ones, drawn at random, as there are trials."""
    size = space.size()
    total = min(n for n in (size, trials, MAX_TRIALS) if n is not None)
    for raw in space.points() if size == total else _drawn(space, total):
        yield objective.resolved(space.configuration(raw))


def _drawn(space: SearchSpace, count: int) -> Iterator[Raw]:
    rng = random.Random(0)
    seen: set[str] = set()
    for _ in range(20 * count):
        raw = space.draw(rng)
        if (key := space.key(raw)) not in seen and space.is_valid(raw):
            seen.add(key)
            yield raw
        if len(seen) == count:
            return


def _split_key(pipeline: Pipeline, own: Mapping[str, Any]) -> str:
    """The key of the chunks; for a splitter from outside another one, since its own is known when it is imported."""
    if splitter_stage(own) is not custom:
        return pipeline.split_key(own)
    settings = custom.own(own)
    return digest([str(settings["splitter"]), settings["chunk_size"], settings["chunk_overlap"]])


def _chunking(objective: RagObjective, own: Mapping[str, Any], key: str) -> _Chunking:
    """How the documents are cut: as it is on disk, else about."""
    store = shared_cache().store
    known: list[Chunk] | None = store.get(key, CHUNKS) if store is not None else None
    if known is not None:
        return _Chunking(len(known), sum(chunk.tokens for chunk in known), True)
    part = splitter_stage(own)
    tokens = sum(len(document.text) for document in objective.documents) // CHARACTERS_PER_TOKEN
    if part is whole:
        return _Chunking(len(objective.documents), tokens, False)
    if part is sentence_window:
        return _Chunking(math.ceil(tokens / SENTENCE_TOKENS), tokens, False)
    settings = {**custom.own(own), **part.own(own)}
    size = settings["chunk_size"]
    overlap = 0 if part is semantic else overlap_tokens(size, settings["chunk_overlap"])
    step = max(1, size - overlap)
    count = sum(max(1, math.ceil(len(d.text) / CHARACTERS_PER_TOKEN / step)) for d in objective.documents)
    return _Chunking(count, min(count * size, math.ceil(tokens * size / step)), False)


def _embeddings(vectors: Mapping[str, tuple[str, _Chunking]]) -> list[Embedding]:
    store = shared_cache().store
    there = store.present(list(vectors)) if store is not None else set()
    found = []
    for model in sorted({name for name, _ in vectors.values()}):
        of_model = {key: chunking for key, (name, chunking) in vectors.items() if name == model}
        chunks = sum(chunking.chunks for chunking in of_model.values())
        tokens = sum(chunking.tokens for chunking in of_model.values())
        ready = sum(chunking.chunks for key, chunking in of_model.items() if key in there)
        found.append(Embedding(model, chunks, tokens, ready))
    return found
