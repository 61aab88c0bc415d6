"""The metrics by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from raytuner.errors import ConfigError, nearest
from raytuner.metrics import answer, retrieval, spans
from raytuner.metrics.evidence import Evidence

Need = Literal["references", "spans", "answers", "nothing"]


@dataclass(frozen=True)
class Metric:
    """A score of one question, to be called with its `Evidence`.

    Attributes:
        name: As the user wrote it, e.g. ``ndcg@5``.
        base: The name without the cutoff, e.g. ``ndcg``.
        cutoff: How many of the first chunks are scored; all of them if None.
        needs: What a question must have: ``references`` (spans or document ids), ``spans`` (characters),
            ``answers`` (a reference answer, and an answer of the pipeline) or ``nothing``.
        score: The formula, for evidence that is already cut.
    """

    name: str
    base: str
    cutoff: int | None
    needs: Need
    score: Callable[[Evidence], float]

    def __call__(self, evidence: Evidence) -> float:
        """Score one question."""
        return self.score(evidence if self.cutoff is None else evidence.cut(self.cutoff))


def _metrics(needs: Need, *scores: Callable[[Evidence], float]) -> dict[str, Metric]:
    return {score.__name__: Metric(score.__name__, score.__name__, None, needs, score) for score in scores}


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        **_metrics("answers", answer.semantic_similarity),
        **_metrics(
            "references", retrieval.hit_rate, retrieval.mrr, retrieval.ndcg, retrieval.recall, retrieval.precision
        ),
        **_metrics("spans", spans.span_recall, spans.span_precision, spans.span_f1, spans.span_f4, spans.span_iou),
        **_metrics("answers", answer.token_f1, answer.exact_match),
        **_metrics("nothing", retrieval.chunk_tokens),
    }
)


def metric(name: str) -> Metric:
    """Look up a metric.

    Args:
        name: One of `METRICS`, or ``NAME@N`` to score only the first N chunks.

    Returns:
        The metric, to be called with the evidence of a question.

    Raises:
        ConfigError: The name is unknown, N is no positive integer, or the metric has no cutoff.
    """
    base, at, cutoff = str(name).partition("@")
    if base not in METRICS:
        raise ConfigError(f"unknown metric {name!r}; {nearest(base, METRICS)}")
    found = METRICS[base]
    if not at:
        return found
    if found.needs == "answers":
        raise ConfigError(f"metric {name!r}: an answer is scored as a whole, without '@'; write {base!r}")
    if not re.fullmatch(r"[1-9][0-9]*", cutoff):
        raise ConfigError(f"metric {name!r}: after '@' comes a positive number of chunks, e.g. '{base}@5'")
    return replace(found, name=name, cutoff=int(cutoff))


def group(name: str) -> tuple[str, ...]:
    """The metrics that are reported along with the optimised one: those that need nothing more than it.

    Args:
        name: The optimised metric, perhaps with a cutoff.

    Returns:
        Its name first, then the others. For a retrieval or span metric all of these (questions that know
        only document ids have no span metrics: see `Metric.needs`), for an answer metric the word-based ones;
        always `chunk_tokens`. `semantic_similarity` costs embeddings, so it is only there if asked for.
    """
    needs = metric(name).needs
    wanted: set[Need] = {"references", "spans"} if needs in ("references", "spans") else {needs}
    others = (base for base, other in METRICS.items() if other.needs in wanted and base != "semantic_similarity")
    return tuple(dict.fromkeys((name, *others, "chunk_tokens")))
