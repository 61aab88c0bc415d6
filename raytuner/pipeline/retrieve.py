"""Retrieval: exact vector search, BM25, and their fusion; rankings know their depth."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le
from numpy.typing import NDArray

from raytuner.pipeline.chunk import Chunk
from raytuner.pipeline.embed import Vectors
from raytuner.pipeline.stage import stage
from raytuner.store import ARRAYS, Adapted, Codec, pack_strings, unpack_strings
from raytuner.words import apart

TopK = Annotated[int, Gt(0)]
Share = Annotated[float, Ge(0), Le(1)]

RECIPROCAL_RANK_CONSTANT = 60
"""Cormack, Clarke and Büttcher 2009, "Reciprocal rank fusion outperforms Condorcet ..."."""

MIN_DEPTH = 100
"""A ranking is made at least this deep, since a deeper one costs nothing and serves every smaller top_k.

It is the default of fusion_depth, so that what was made for one retriever also serves the fusion."""


class Ranking(NamedTuple):
    """The best chunks for one question.

    Attributes:
        chunks: Positions in the list of chunks, best first.
        scores: Their scores, falling; equal scores are in the order of the chunks.
        depth: How many were asked for; there may be fewer chunks than that.
    """

    chunks: NDArray[np.int64]
    scores: NDArray[np.float64]
    depth: int


RANKING: Codec[Ranking] = Adapted(
    "ranking-1",
    ARRAYS,
    lambda ranking: {"chunks": ranking.chunks, "scores": ranking.scores, "depth": np.array(ranking.depth)},
    lambda arrays: Ranking(arrays["chunks"], arrays["scores"], int(arrays["depth"])),
)
"""How rankings are stored."""


def rank(scores: NDArray[np.floating[Any]], depth: int, above: float = -np.inf) -> Ranking:
    """The best positions of a score vector.

    Args:
        scores: Shape (chunks,).
        depth: How many at the most.
        above: Only scores greater than this are taken.

    Returns:
        The ranking, ties in the order of the chunks.
    """
    # Rounding far below any real difference lets ties stay ties whatever the shape of the product was.
    rounded: NDArray[np.float64] = np.asarray(scores, dtype=np.float64).round(9)
    candidates = np.flatnonzero(rounded > above)
    if depth < len(candidates):
        kept = np.partition(rounded[candidates], -depth)[-depth]
        candidates = candidates[rounded[candidates] >= kept]
    order = candidates[np.argsort(-rounded[candidates], kind="stable")][:depth]
    return Ranking(order, rounded[order], depth)


@stage(version=1, codec=RANKING)
def vector_search(vectors: Vectors, questions: Vectors, depth: int) -> list[Ranking]:
    """Exact search by cosine similarity, all questions in one matrix product.

    Args:
        vectors: Shape (chunks, dimensions), rows of length 1.
        questions: Shape (questions, dimensions), rows of length 1.
        depth: How many chunks for each question.

    Returns:
        One ranking a question.
    """
    # Double precision: the last bits of a product in single precision depend on how many questions share it.
    wanted = questions.astype(np.float64)
    scores = np.empty((len(questions), len(vectors)))
    for start in range(0, len(vectors), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        scores[:, rows] = wanted @ vectors[rows].astype(np.float64).T
    return [rank(row, depth) for row in scores]


ROWS_AT_ONCE = 8192
"""Vectors that are doubled in precision at once, so that a large matrix is never held twice."""


class BM25Index(NamedTuple):
    """What each term adds to the score of each chunk that holds it.

    Attributes:
        numbers: The number of each term.
        starts: Where each term's part of the next two begins; one more for the end.
        chunks: Positions in the list of chunks.
        scores: What the term adds there.
        chunk_count: How many chunks there are.
    """

    numbers: dict[str, int]
    starts: NDArray[np.int64]
    chunks: NDArray[np.int32]
    scores: NDArray[np.float32]
    chunk_count: int


def _pack_index(index: BM25Index) -> dict[str, NDArray[Any]]:
    return {
        "starts": index.starts,
        "chunks": index.chunks,
        "scores": index.scores,
        "chunk_count": np.array(index.chunk_count),
        **pack_strings("terms", list(index.numbers)),
    }


def _unpack_index(arrays: Mapping[str, NDArray[Any]]) -> BM25Index:
    numbers = {term: number for number, term in enumerate(unpack_strings("terms", arrays))}
    return BM25Index(numbers, arrays["starts"], arrays["chunks"], arrays["scores"], int(arrays["chunk_count"]))


INDEX: Codec[BM25Index] = Adapted("bm25-1", ARRAYS, _pack_index, _unpack_index)
"""How BM25 indexes are stored."""


@stage(version=3, codec=INDEX, libraries=("bm25s",))
def bm25_index(
    chunks: Sequence[Chunk],
    *,
    bm25_k1: Annotated[float, Gt(0)] = 1.5,
    bm25_b: Share = 0.75,
) -> BM25Index:
    """Index the chunks for BM25 (Lucene's variant, by bm25s).

    Args:
        chunks: The chunks.
        bm25_k1: How slowly the weight of a repeated term saturates.
        bm25_b: How much long chunks are held back, 0 to 1.
    """
    import bm25s

    logging.getLogger("bm25s").setLevel(logging.WARNING)  # else it shows its debugging
    tokens = _terms([chunk.text for chunk in chunks])
    if not any(tokens):
        return BM25Index({}, np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32), len(chunks))
    index = bm25s.BM25(k1=bm25_k1, b=bm25_b)
    index.index(tokens, show_progress=False)
    numbers = {term: number for term, number in index.vocab_dict.items() if number < len(index.scores["indptr"]) - 1}
    return BM25Index(
        dict(sorted(numbers.items(), key=lambda entry: entry[1])),
        np.asarray(index.scores["indptr"], np.int64),
        np.asarray(index.scores["indices"], np.int32),
        np.asarray(index.scores["data"], np.float32),
        len(chunks),
    )


@stage(version=3, codec=RANKING, libraries=("bm25s",))
def bm25_search(index: BM25Index, questions: Sequence[str], depth: int) -> list[Ranking]:
    """Rank by BM25; chunks that share no term with the question are not retrieved.

    Args:
        index: From `bm25_index`.
        questions: Their texts.
        depth: How many chunks for each question.

    Returns:
        One ranking a question.
    """
    return [rank(row, depth, above=0.0) for row in bm25_scores(index, questions)]


def bm25_scores(index: BM25Index, questions: Sequence[str]) -> NDArray[np.float64]:
    """The score of each chunk for each question, shape (questions, chunks); a repeated term counts again."""
    places, parts = [], []
    for row, terms in enumerate(_terms(questions)):
        for number in (index.numbers[term] for term in terms if term in index.numbers):
            part = slice(index.starts[number], index.starts[number + 1])
            places.append(index.chunks[part].astype(np.int64) + row * index.chunk_count)
            parts.append(index.scores[part])
    shape = len(questions), index.chunk_count
    if not places:
        return np.zeros(shape)
    summed = np.bincount(np.concatenate(places), np.concatenate(parts), minlength=shape[0] * shape[1])
    return summed.astype(np.float64, copy=False).reshape(shape)


def _terms(texts: Sequence[str]) -> list[list[str]]:
    """The terms of each text: bm25s's own, and pairs of characters of the scripts without spaces."""
    import bm25s

    taken_apart = [apart(text) for text in texts]
    spaced = [rest for rest, _ in taken_apart]
    terms: list[list[str]] = bm25s.tokenize(spaced, stopwords="en", return_ids=False, show_progress=False)
    return [[*own, *pairs] for own, (_, pairs) in zip(terms, taken_apart, strict=True)]


@stage(version=1)
def fuse(
    vector: Ranking,
    bm25: Ranking,
    depth: int,
    *,
    fusion: Literal["reciprocal_rank", "weighted"] = "reciprocal_rank",
    fusion_weight: Share = 0.5,
    fusion_depth: TopK = 100,
) -> Ranking:
    """Fuse a vector and a BM25 ranking.

    Args:
        vector: The ranking by embedding, at least `fusion_depth` deep where there are as many chunks.
        bm25: The ranking by BM25, likewise.
        depth: How many chunks are asked for.
        fusion: ``reciprocal_rank`` sums weight / (60 + rank) (Cormack et al. 2009); ``weighted`` sums
            weight x score, the scores of each list scaled to 0..1 by its least and greatest
            (Bruch et al. 2023, "An Analysis of Fusion Functions for Hybrid Retrieval").
        fusion_weight: The weight of the vector ranking, 0 to 1; BM25 has the rest. A ranking without
            weight is left out.
        fusion_depth: How many of each ranking are fused. It does not depend on top_k, so that a smaller
            top_k is always the beginning of a larger one.

    Returns:
        The fused ranking.
    """
    contribution = _reciprocal_ranks if fusion == "reciprocal_rank" else _scaled_scores
    fused: dict[int, float] = {}
    weighted = ((vector, fusion_weight), (bm25, 1 - fusion_weight))
    for ranking, weight in (pair for pair in weighted if pair[1] > 0):
        chunks = ranking.chunks[:fusion_depth]
        for chunk, part in zip(chunks.tolist(), contribution(ranking.scores[:fusion_depth]), strict=True):
            fused[chunk] = fused.get(chunk, 0.0) + weight * part
    chunks = np.array(sorted(fused), dtype=np.int64)
    best = rank(np.array([fused[chunk] for chunk in chunks.tolist()]), depth)
    return Ranking(chunks[best.chunks], best.scores, depth)


def _reciprocal_ranks(scores: NDArray[np.float64]) -> list[float]:
    return [1 / (RECIPROCAL_RANK_CONSTANT + position) for position in range(1, len(scores) + 1)]


def _scaled_scores(scores: NDArray[np.float64]) -> list[float]:
    if not len(scores):
        return []
    low, high = scores[-1], scores[0]
    return [1.0] * len(scores) if high == low else ((scores - low) / (high - low)).tolist()


@stage(version=1)
def select(ranking: Ranking, *, top_k: TopK = 3, similarity_cutoff: float | None = None) -> Ranking:
    """Cut a ranking to what is used.

    Args:
        ranking: At least `top_k` deep.
        top_k: How many chunks at the most.
        similarity_cutoff: The least score that is kept: cosine for ``vector``, the BM25 score for
            ``bm25``, the fused score for ``hybrid``. None keeps all.

    Returns:
        The first `top_k` that reach the cutoff.
    """
    chunks, scores = ranking.chunks[:top_k], ranking.scores[:top_k]
    if similarity_cutoff is not None:
        kept = scores >= similarity_cutoff
        chunks, scores = chunks[kept], scores[kept]
    return Ranking(chunks, scores, top_k)
