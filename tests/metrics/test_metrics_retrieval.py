"""Retrieval metrics against ir-measures, and the cases it does not know."""

from __future__ import annotations

import random

import ir_measures
import pytest
from ir_measures import RR, P, R, Success, nDCG

from raytuner.metrics import Evidence, is_relevant, metric

THEIRS = {"hit_rate": Success, "mrr": RR, "ndcg": nDCG, "recall": R, "precision": P}


def evidence(relevant: list[bool], total: int, top_k: int | None = None, **known: object) -> Evidence:
    ranges = [(0, 10 * i, 10 * i + 10) for i in range(len(relevant))]
    return Evidence(
        ranges=ranges,
        relevant=relevant,
        tokens=[i + 1 for i in range(len(relevant))],
        total_relevant=total,
        references=[],
        top_k=len(relevant) if top_k is None else top_k,
        **known,  # type: ignore[arg-type]
    )


def theirs(relevant: list[bool], total: int, measure: object) -> float:
    """A measure of ir-measures on one ranking; the relevant documents that were not found are named missed0, ..."""
    names = [f"d{rank}" for rank in range(len(relevant))]
    found = [name for name, hit in zip(names, relevant, strict=True) if hit]
    qrels = [ir_measures.Qrel("q", name, 1) for name in found]
    qrels += [ir_measures.Qrel("q", f"missed{i}", 1) for i in range(total - len(found))]
    run = [ir_measures.ScoredDoc("q", name, float(-rank)) for rank, name in enumerate(names)]
    return ir_measures.calc_aggregate([measure], qrels, run)[measure]


def rankings(count: int) -> list[tuple[list[bool], int]]:
    """Random rankings of 1 to 12 chunks with at least one relevant chunk, found or not."""
    rng = random.Random(7)
    cases = []
    for _ in range(count):
        relevant = [rng.random() < 0.35 for _ in range(rng.randint(1, 12))]
        cases.append((relevant, max(1, sum(relevant) + rng.choice([0, 0, 1, 4]))))
    return cases


@pytest.mark.parametrize("name", THEIRS)
def test_all_retrieved_chunks_as_ir_measures(name: str) -> None:
    for relevant, total in rankings(60):
        expected = theirs(relevant, total, THEIRS[name] @ len(relevant))
        assert metric(name)(evidence(relevant, total)) == pytest.approx(expected, abs=1e-9), (relevant, total)


@pytest.mark.parametrize("cutoff", [1, 3, 5, 20])
@pytest.mark.parametrize("name", THEIRS)
def test_cutoff_as_ir_measures(name: str, cutoff: int) -> None:
    for relevant, total in rankings(25):
        expected = theirs(relevant, total, THEIRS[name] @ cutoff)
        assert metric(f"{name}@{cutoff}")(evidence(relevant, total)) == pytest.approx(expected, abs=1e-9)


def test_ndcg_without_cutoff_is_that_of_the_requested_number() -> None:
    short = evidence([True, False], total=4, top_k=5)
    assert metric("ndcg")(short) == pytest.approx(theirs([True, False], 4, nDCG @ 5))
    assert metric("ndcg")(short) < metric("ndcg")(evidence([True, False], total=4, top_k=2))


def test_precision_without_cutoff_divides_by_what_came() -> None:
    short = evidence([True, False], total=1, top_k=5)
    assert metric("precision")(short) == 0.5
    assert metric("precision@5")(short) == 0.2


def test_a_chunk_retrieved_twice_counts_once() -> None:
    twice = Evidence(
        ranges=[(0, 0, 10), (0, 0, 10)], relevant=[True, True], tokens=[5, 5], total_relevant=1, references=[], top_k=2
    )
    assert metric("ndcg")(twice) == 1
    assert metric("recall")(twice) == 1
    assert metric("precision")(twice) == 0.5


def test_one_large_chunk_with_every_reference_is_ideal() -> None:
    """The ideal counts distinct relevant chunks, not references, else larger chunks would be punished."""
    references = [(0, 0, 10), (0, 20, 30), (0, 40, 50)]
    large = Evidence(
        ranges=[(0, 0, 100), (0, 100, 200)],
        relevant=[is_relevant((0, 0, 100), references), is_relevant((0, 100, 200), references)],
        tokens=[20, 20],
        total_relevant=1,
        references=references,
        top_k=2,
    )
    assert metric("ndcg")(large) == 1


@pytest.mark.parametrize("name", [*THEIRS, "chunk_tokens"])
def test_nothing_retrieved_or_nothing_relevant_is_zero(name: str) -> None:
    assert metric(name)(evidence([], total=2, top_k=3)) == 0
    assert metric(f"{name}@5")(evidence([], total=2, top_k=3)) == 0
    if name != "chunk_tokens":
        assert metric(name)(evidence([False, False], total=0)) == 0


def test_chunk_tokens() -> None:
    assert metric("chunk_tokens")(evidence([True, False, True], total=2)) == 6
    assert metric("chunk_tokens@2")(evidence([True, False, True], total=2)) == 3


@pytest.mark.parametrize(
    ("chunk", "reference", "expected"),
    [
        ((0, 0, 100), (0, 40, 60), True),  # the chunk holds the span
        ((0, 50, 150), (0, 0, 100), True),  # half of the span
        ((0, 51, 151), (0, 0, 100), False),  # a little less
        ((0, 0, 20), (0, 10, 500), True),  # half of a small chunk lies in a long span
        ((0, 0, 20), (0, 11, 500), False),
        ((1, 0, 100), (0, 40, 60), False),  # another document
        ((0, 0, 10), (0, 10, 20), False),  # they only touch
        ((0, 5, 5), (0, 0, 10), False),  # an empty chunk
    ],
)
def test_is_relevant(chunk: tuple[int, int, int], reference: tuple[int, int, int], expected: bool) -> None:
    assert is_relevant(chunk, [(3, 0, 1), reference]) is expected
    assert not is_relevant(chunk, [])


def test_evidence_of_unequal_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="one entry for each retrieved chunk"):
        Evidence(ranges=[(0, 0, 1)], relevant=[], tokens=[1], total_relevant=0, references=[], top_k=1)
