"""Metrics of a ranking of chunks: binary relevance, one question.

A chunk that was retrieved twice counts at its first rank only.
"""

from __future__ import annotations

import math

from raytuner.metrics.evidence import Evidence, Span


def hit_rate(evidence: Evidence) -> float:
    """1 if a relevant chunk was retrieved, else 0 (success at k)."""
    return float(any(evidence.relevant))


def mrr(evidence: Evidence) -> float:
    """1 / rank of the first relevant chunk, 0 without one; its mean over questions is the MRR.

    Source: Voorhees, "The TREC-8 Question Answering Track Report", 1999.
    """
    return next((1 / rank for rank, hit in enumerate(evidence.relevant, 1) if hit), 0.0)


def ndcg(evidence: Evidence) -> float:
    """DCG / ideal DCG, where DCG = sum of relevance / log2(rank + 1).

    The ideal ranking holds every distinct relevant chunk once, cut at N for ``ndcg@N``, else at the number of
    chunks asked for. So larger chunks, which hold several references at once, are not punished.

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4), 2002.
    """
    depth = evidence.cutoff or evidence.top_k
    ideal = sum(_discount(rank) for rank in range(1, min(evidence.total_relevant, depth) + 1))
    gain = sum(_discount(rank) for rank, hit in enumerate(_first_hits(evidence), 1) if hit)
    return gain / ideal if ideal else 0.0


def recall(evidence: Evidence) -> float:
    """Relevant chunks retrieved / relevant chunks in the whole chunking.

    0 if there is none: the chunking has torn every reference apart.
    """
    return sum(_first_hits(evidence)) / evidence.total_relevant if evidence.total_relevant else 0.0


def precision(evidence: Evidence) -> float:
    """Relevant chunks retrieved / chunks retrieved; 0 if nothing was retrieved.

    ``precision@N`` divides by N even if fewer chunks came, as trec_eval does.
    """
    depth = evidence.cutoff or len(evidence.ranges)
    return sum(_first_hits(evidence)) / depth if depth else 0.0


def chunk_tokens(evidence: Evidence) -> float:
    """Tokens of the retrieved chunks: what a question's context costs."""
    return float(sum(evidence.tokens))


def _discount(rank: int) -> float:
    return 1 / math.log2(rank + 1)


def _first_hits(evidence: Evidence) -> list[bool]:
    """The relevance at each rank, without chunks that already came."""
    seen: set[Span] = set()
    hits = []
    for chunk, hit in zip(evidence.ranges, evidence.relevant, strict=True):
        hits.append(hit and chunk not in seen)
        seen.add(chunk)
    return hits
