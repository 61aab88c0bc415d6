"""Span metrics against sets of characters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytuner.metrics import Evidence, Span, metric

span = st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(1, 15)).map(lambda s: (s[0], s[1], s[1] + s[2]))
spans = st.lists(span, max_size=6)


def evidence(ranges: list[Span], references: list[Span]) -> Evidence:
    count = len(ranges)
    return Evidence(
        ranges=ranges,
        relevant=[False] * count,
        tokens=[1] * count,
        total_relevant=0,
        references=references,
        top_k=count,
    )


def characters(spans: list[Span]) -> set[tuple[int, int]]:
    return {(document, position) for document, start, end in spans for position in range(start, end)}


def by_sets(ranges: list[Span], references: list[Span]) -> dict[str, float]:
    retrieved, reference = characters(ranges), characters(references)
    shared = len(retrieved & reference)
    recall = shared / len(reference) if reference else 0.0
    precision = shared / len(retrieved) if retrieved else 0.0

    def f(beta: int) -> float:
        below = beta**2 * precision + recall
        return (1 + beta**2) * precision * recall / below if below else 0.0

    union = len(retrieved | reference)
    return {
        "span_recall": recall,
        "span_precision": precision,
        "span_f1": f(1),
        "span_f4": f(4),
        "span_iou": shared / union if union else 0.0,
    }


@given(spans, spans)
def test_as_sets_of_characters(ranges: list[Span], references: list[Span]) -> None:
    for name, expected in by_sets(ranges, references).items():
        assert metric(name)(evidence(ranges, references)) == pytest.approx(expected), name


@given(spans, spans)
def test_cutoff_scores_the_first_chunks(ranges: list[Span], references: list[Span]) -> None:
    for name, expected in by_sets(ranges[:2], references).items():
        assert metric(f"{name}@2")(evidence(ranges, references)) == pytest.approx(expected), name


def test_overlapping_chunks_count_each_character_once() -> None:
    overlapping = evidence([(0, 0, 10), (0, 5, 15), (0, 2, 4)], [(0, 0, 15)])
    assert metric("span_recall")(overlapping) == metric("span_precision")(overlapping) == 1


def test_nothing_retrieved_and_no_references() -> None:
    for name in ("span_recall", "span_precision", "span_f1", "span_f4", "span_iou"):
        assert metric(name)(evidence([], [(0, 0, 5)])) == 0
        assert metric(name)(evidence([(0, 0, 5)], [])) == 0
