"""Metrics of the retrieved characters: they need no notion of a relevant chunk.

R is the set of characters in the retrieved chunks, G the set of characters in the reference spans; a character
that is in several of them counts once. These are the measures of Smith and Troynikov, "Evaluating Chunking
Strategies for Retrieval", Chroma Technical Report, 2024, by characters instead of tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from raytuner.metrics.evidence import Evidence, Span


class Sizes(NamedTuple):
    """Numbers of characters."""

    retrieved: int
    reference: int
    shared: int


def span_recall(evidence: Evidence) -> float:
    """|R and G| / |G|; 0 without references."""
    sizes = _sizes(evidence)
    return _ratio(sizes.shared, sizes.reference)


def span_precision(evidence: Evidence) -> float:
    """|R and G| / |R|; 0 if nothing was retrieved."""
    sizes = _sizes(evidence)
    return _ratio(sizes.shared, sizes.retrieved)


def span_f1(evidence: Evidence) -> float:
    """Harmonic mean of `span_precision` P and `span_recall` R: 2 P R / (P + R)."""
    return _f_beta(_sizes(evidence), beta=1)


def span_f4(evidence: Evidence) -> float:
    """F-measure that takes recall as 4 times as important: (1 + 4^2) P R / (4^2 P + R).

    Source: van Rijsbergen, "Information Retrieval", 2nd edition, 1979, chapter 7.
    """
    return _f_beta(_sizes(evidence), beta=4)


def span_iou(evidence: Evidence) -> float:
    """Intersection over union: |R and G| / |R or G| (the Jaccard index)."""
    sizes = _sizes(evidence)
    return _ratio(sizes.shared, sizes.retrieved + sizes.reference - sizes.shared)


def _f_beta(sizes: Sizes, beta: int) -> float:
    """F-beta, written with set sizes: it is (1 + b^2) |R and G| / (b^2 |G| + |R|)."""
    return _ratio((1 + beta**2) * sizes.shared, beta**2 * sizes.reference + sizes.retrieved)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _sizes(evidence: Evidence) -> Sizes:
    retrieved = _size(evidence.ranges)
    reference = _size(evidence.references)
    either = _size([*evidence.ranges, *evidence.references])
    return Sizes(retrieved, reference, retrieved + reference - either)


def _size(spans: Iterable[Span]) -> int:
    return sum(end - start for _, start, end in _united(spans))


def _united(spans: Iterable[Span]) -> Iterator[Span]:
    """The same characters as disjoint spans: what an earlier span has already covered is left out."""
    covered = (-1, 0)
    for document, start, end in sorted(spans):
        begin = max(start, covered[1]) if document == covered[0] else start
        if begin < end:
            yield document, begin, end
            covered = (document, end)
