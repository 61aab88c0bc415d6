"""Rankings: exact search, BM25, fusion."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytuner.pipeline.chunk import Chunk
from raytuner.pipeline.retrieve import Ranking, bm25_index, bm25_search, fuse, rank, select, vector_search

TEXTS = [
    "Cats chase mice.",
    "Dogs chase cats, and cats chase dogs, and dogs chase cats.",
    "Birds fly.",
    "The of and is.",
    "Mice fear cats and birds.",
]
scores = st.lists(st.integers(-6, 6).map(lambda number: number / 4), min_size=1, max_size=30)


def ranking(*pairs: tuple[int, float]) -> Ranking:
    return Ranking(np.array([chunk for chunk, _ in pairs]), np.array([score for _, score in pairs], float), 100)


def pairs(found: Ranking) -> list[tuple[int, float]]:
    return list(zip(found.chunks.tolist(), found.scores.tolist(), strict=True))


def by_sorting(values: list[float], depth: int, above: float = -math.inf) -> list[tuple[int, float]]:
    kept = [(chunk, score) for chunk, score in enumerate(values) if score > above]
    return sorted(kept, key=lambda pair: (-pair[1], pair[0]))[:depth]


@given(scores, st.integers(1, 40), st.sampled_from([-math.inf, 0.0, 0.5]))
def test_rank_is_a_sort_with_ties_in_order(values: list[float], depth: int, above: float) -> None:
    found = rank(np.array(values), depth, above)
    assert pairs(found) == by_sorting(values, depth, above)
    assert found.depth == depth


@given(scores, st.integers(1, 40), st.integers(1, 40))
def test_a_smaller_depth_is_a_prefix(values: list[float], small: int, large: int) -> None:
    small, large = sorted((small, large))
    assert pairs(rank(np.array(values), small)) == pairs(rank(np.array(values), large))[:small]


def test_differences_far_below_any_real_one_are_ties() -> None:
    assert rank(np.array([0.1 + 0.2, 0.3, 0.5]), 3).chunks.tolist() == [2, 0, 1]
    assert rank(np.array([0.3, 0.1 + 0.2, 0.5]), 3).chunks.tolist() == [2, 0, 1]


def unit(count: int, seed: int) -> Any:
    vectors = np.random.default_rng(seed).normal(size=(count, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_vector_search_is_brute_force() -> None:
    vectors, questions = unit(200, seed=1), unit(9, seed=2)
    vectors[17] = vectors[3]
    for question, found in zip(questions, vector_search.run(vectors, questions, 200), strict=True):
        cosines = [round(math.fsum(map(float, question.astype(float) * row.astype(float))), 9) for row in vectors]
        assert found.chunks.tolist() == [chunk for chunk, _ in by_sorting(cosines, 200)]
        np.testing.assert_allclose(found.scores, sorted(cosines, reverse=True), atol=2e-9)


def test_grouping_questions_changes_nothing() -> None:
    vectors, questions = unit(300, seed=3), unit(10, seed=4)
    vectors[50:60] = vectors[200:210] = vectors[3]  # ties
    together = [pairs(found) for found in vector_search.run(vectors, questions, 300)]
    assert together == [pairs(vector_search.run(vectors, questions[i : i + 1], 300)[0]) for i in range(10)]


def bm25(question: str, depth: int = 10, **params: float) -> list[tuple[int, float]]:
    chunks = [Chunk(0, 0, len(text), 1, text) for text in TEXTS]
    return pairs(bm25_search.run(bm25_index.run(chunks, **params), [question], depth)[0])


def lucene(terms: list[str], k1: float, b: float) -> list[float]:
    """BM25 with Lucene's idf, written down from its formula."""
    plain = ["".join(c for c in text.lower() if c.isalpha() or c == " ") for text in TEXTS]
    words = [[word for word in text.split() if word not in {"the", "of", "and", "is"}] for text in plain]
    average = sum(map(len, words)) / len(words)

    def score(text: list[str], term: str) -> float:
        holding = sum(term in other for other in words)
        idf = math.log(1 + (len(words) - holding + 0.5) / (holding + 0.5))
        count = Counter(text)[term]
        return idf * count / (count + k1 * (1 - b + b * len(text) / average)) if count else 0.0

    return [sum(score(text, term) for term in terms) for text in words]


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.6, 0.0), (2.0, 1.0)])
@pytest.mark.parametrize(
    ("question", "terms"),
    [
        ("Do cats fear dogs?", ["cats", "fear", "dogs"]),
        ("the birds and an unknown word", ["birds"]),
        ("CATS cats", ["cats", "cats"]),
    ],
)
def test_bm25_is_lucenes_formula(question: str, terms: list[str], k1: float, b: float) -> None:
    expected = by_sorting(lucene(terms, k1, b), 10, above=0)
    found = bm25(question, bm25_k1=k1, bm25_b=b)
    assert [chunk for chunk, _ in found] == [chunk for chunk, _ in expected]
    np.testing.assert_allclose([s for _, s in found], [s for _, s in expected], rtol=1e-5)


def test_chunks_without_a_shared_term_are_not_retrieved() -> None:
    assert [chunk for chunk, _ in bm25("birds")] == [2, 4]


@pytest.mark.parametrize("question", ["the of and", "zebra", "?!", ""])
def test_a_question_without_a_known_term_finds_nothing(question: str) -> None:
    assert bm25(question) == []


def test_chunks_without_any_term() -> None:
    index = bm25_index.run([Chunk(0, 0, 3, 1, "the"), Chunk(0, 4, 5, 1, "?")])
    assert pairs(bm25_search.run(index, ["the cat"], 5)[0]) == []


def test_bm25_does_not_depend_on_the_company() -> None:
    index = bm25_index.run([Chunk(0, 0, len(text), 1, text) for text in TEXTS])
    questions = ["cats", "the", "dogs and birds", "zebra"]
    together = bm25_search.run(index, questions, 3)
    for question, found in zip(questions, together, strict=True):
        assert pairs(found) == pairs(bm25_search.run(index, [question], 3)[0])


VECTOR = ranking((7, 0.9), (2, 0.8), (5, 0.4))
BM25 = ranking((2, 11.0), (9, 6.0), (7, 1.0))


def test_reciprocal_rank_fusion_by_hand() -> None:
    expected = {7: 0.5 / 61 + 0.5 / 63, 2: 0.5 / 62 + 0.5 / 61, 5: 0.5 / 63, 9: 0.5 / 62}
    found = fuse.run(VECTOR, BM25, 10)
    assert found.chunks.tolist() == [2, 7, 9, 5]
    np.testing.assert_allclose(found.scores, [expected[chunk] for chunk in (2, 7, 9, 5)], atol=1e-9)


def test_weighted_fusion_by_hand() -> None:
    expected = {7: 0.7 * 1 + 0, 2: 0.7 * 0.8 + 0.3 * 1, 5: 0.0, 9: 0.3 * 0.5}
    found = fuse.run(VECTOR, BM25, 10, fusion="weighted", fusion_weight=0.7)
    assert found.chunks.tolist() == [2, 7, 9, 5]
    np.testing.assert_allclose(found.scores, [expected[chunk] for chunk in (2, 7, 9, 5)], atol=1e-9)


@pytest.mark.parametrize("fusion", ["reciprocal_rank", "weighted"])
def test_all_weight_on_one_ranking_is_that_ranking(fusion: str) -> None:
    assert fuse.run(VECTOR, BM25, 10, fusion=fusion, fusion_weight=1.0).chunks.tolist() == VECTOR.chunks.tolist()
    assert fuse.run(VECTOR, BM25, 10, fusion=fusion, fusion_weight=0.0).chunks.tolist() == BM25.chunks.tolist()
    assert fuse.run(VECTOR, ranking(), 10, fusion=fusion, fusion_weight=0.0).chunks.tolist() == []


@pytest.mark.parametrize("fusion", ["reciprocal_rank", "weighted"])
def test_fusion_with_an_empty_or_level_ranking(fusion: str) -> None:
    assert fuse.run(VECTOR, ranking(), 10, fusion=fusion).chunks.tolist() == [7, 2, 5]
    assert fuse.run(ranking((4, 1.0), (6, 1.0)), ranking((6, 3.0)), 10, fusion=fusion).chunks.tolist() == [6, 4]
    assert fuse.run(ranking(), ranking(), 10, fusion=fusion).chunks.tolist() == []


def test_only_fusion_depth_of_each_is_fused() -> None:
    assert fuse.run(VECTOR, BM25, 10, fusion_depth=1).chunks.tolist() == [2, 7]


@given(
    scores,
    scores,
    st.integers(1, 20),
    st.integers(1, 20),
    st.sampled_from([("reciprocal_rank", 0.5), ("weighted", 0.3), ("weighted", 0.0), ("weighted", 1.0)]),
)
def test_a_smaller_top_k_is_a_prefix_after_fusion(
    one: list[float], other: list[float], small: int, large: int, how: tuple[str, float]
) -> None:
    small, large = sorted((small, large))
    above = rank(np.array(one), 20), rank(np.array(other), 20, above=0)
    options = {"fusion": how[0], "fusion_weight": how[1], "fusion_depth": 20}
    assert pairs(fuse.run(*above, small, **options)) == pairs(fuse.run(*above, large, **options))[:small]


@pytest.mark.parametrize(
    ("top_k", "cutoff", "expected"),
    [(2, None, [7, 2]), (9, None, [7, 2, 5]), (3, 0.8, [7, 2]), (1, 0.0, [7]), (3, 0.95, [])],
)
def test_select(top_k: int, cutoff: float | None, expected: list[int]) -> None:
    found = select.run(VECTOR, top_k=top_k, similarity_cutoff=cutoff)
    assert (found.chunks.tolist(), found.depth) == (expected, top_k)
    assert len(found.scores) == len(expected)
