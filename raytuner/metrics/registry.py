"""The metrics by name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_args

from raytuner.errors import ConfigError, nearest, quoted
from raytuner.metrics import answer, cost, retrieval, spans
from raytuner.metrics.evidence import Evidence

Need = Literal["references", "spans", "answers", "nothing", "llm"]
Mode = Literal["max", "min"]
_Score = TypeVar("_Score", bound=Callable[[Evidence], float])


@dataclass(frozen=True)
class Metric:
    """A score of one question, to be called with its `Evidence`.

    Attributes:
        name: As the user wrote it, e.g. ``ndcg@5``.
        base: The name without the cutoff, e.g. ``ndcg``.
        cutoff: How many of the first chunks are scored; all of them if None.
        needs: What a question must have: ``references`` (spans or document ids), ``spans`` (characters),
            ``answers`` (a reference answer, and an answer of the pipeline) or ``nothing``; ``llm`` is an answer
            that an LLM has written, whether or not there is a reference answer.
        score: The formula, for evidence that is already cut.
        mode: Whether more is better (``max``) or less (``min``).
        asks: A function of the user's own that asks an LLM: it is called with the evidence and, if it has such a
            parameter, ``llm``; the formula is then what it said.
    """

    name: str
    base: str
    cutoff: int | None
    needs: Need
    score: Callable[[Evidence], float]
    mode: Mode = "max"
    asks: Callable[..., Any] | None = None

    def __call__(self, evidence: Evidence) -> float:
        """Score one question.

        Args:
            evidence: What is known of it, all retrieved chunks included.

        Returns:
            The value, in the range of the metric.
        """
        return self.score(evidence if self.cutoff is None else evidence.cut(self.cutoff))


def _metrics(needs: Need, *scores: Callable[[Evidence], float], mode: Mode = "max") -> dict[str, Metric]:
    return {score.__name__: Metric(score.__name__, score.__name__, None, needs, score, mode) for score in scores}


JUDGED = ("correctness", "faithfulness", "relevancy")
"""Metrics that an LLM judges."""
TAKEN = ("latency", "prompt_tokens", "completion_tokens", "usd")
"""What the answer of an LLM took."""

METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        **_metrics("answers", answer.semantic_similarity),
        **_metrics(
            "references", retrieval.hit_rate, retrieval.mrr, retrieval.ndcg, retrieval.recall, retrieval.precision
        ),
        **_metrics("spans", spans.span_recall, spans.span_precision, spans.span_f1, spans.span_f4, spans.span_iou),
        **_metrics("answers", answer.token_f1, answer.exact_match),
        **_metrics("answers", cost.Judged("correctness")),
        **_metrics("llm", cost.Judged("faithfulness"), cost.Judged("relevancy")),
        **_metrics("llm", cost.latency, cost.prompt_tokens, cost.completion_tokens, cost.usd, mode="min"),
        **_metrics("nothing", retrieval.chunk_tokens, mode="min"),
    }
)


EXPENSIVE = ("semantic_similarity", *JUDGED)
"""Metrics that are only computed if they are asked for."""


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
        raise ConfigError(f"unknown metric {quoted(name)}; {nearest(base, METRICS)}")
    found = METRICS[base]
    if not at:
        return found
    if found.needs in ("answers", "llm"):
        raise ConfigError(f"metric {name!r}: an answer is scored as a whole, without '@'; write {base!r}")
    if not re.fullmatch(r"[1-9][0-9]*", cutoff):
        raise ConfigError(f"metric {quoted(name)}: after '@' comes a positive number of chunks, e.g. '{base}@5'")
    return replace(found, name=name, cutoff=int(cutoff))


def custom(needs: Need = "nothing", mode: Mode = "max") -> Callable[[_Score], _Score]:
    """Declare what a metric of your own needs; a decorator of a function of one `Evidence`.

    Args:
        needs: As `Metric.needs`. A function without this decorator needs ``nothing``.
        mode: Whether more is better (``max``) or less (``min``), where the config does not say.

    Returns:
        A decorator, which gives the function back as it is, but for its attributes ``needs`` and ``mode``.

    Raises:
        ConfigError: `needs` or `mode` is none of these.
    """
    for value, kind in ((needs, Need), (mode, Mode)):
        if value not in get_args(kind):
            raise ConfigError(f"a metric of your own: unknown value {value!r}; {nearest(value, get_args(kind))}")

    def declare(score: _Score) -> _Score:
        vars(score).update(needs=needs, mode=mode)
        return score

    return declare


def from_function(score: Any, name: str | None = None) -> Metric:
    """A metric from a function of one `Evidence`, which `custom` may have decorated.

    Args:
        score: The function.
        name: What it is called; its own name by default.

    Raises:
        ConfigError: It cannot be called, or a metric of raytuner has its name.
    """
    name = name or str(getattr(score, "__name__", type(score).__name__))
    if not callable(score):
        raise ConfigError(f"metric {name} is a {type(score).__name__}; it must be a function of one Evidence")
    if name in METRICS:
        raise ConfigError(f"a metric of raytuner has the name {name!r}; give your function another one")
    needs: Any = getattr(score, "needs", "nothing")
    mode: Any = getattr(score, "mode", "max")
    if is_asking(score):
        return Metric(name, name, None, needs, cost.Judged(name), mode, score)
    return Metric(name, name, None, needs, score, mode)


def is_asking(function: Any) -> bool:
    """Whether a metric of the user's own asks an LLM: it has a parameter ``llm``, or is a coroutine function."""
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return False
    return "llm" in parameters or inspect.iscoroutinefunction(function)


def group(optimised: str | Metric) -> tuple[str, ...]:
    """The metrics that are reported along with the optimised one: those that need nothing more than it.

    Args:
        optimised: The optimised metric, or its name, perhaps with a cutoff.

    Returns:
        Its name first, then the others. For a retrieval or span metric all of these (questions that know
        only document ids have no span metrics: see `Metric.needs`), for an answer metric the word-based ones;
        always `chunk_tokens`, and with answers what they took, where that is known. `semantic_similarity` costs
        embeddings, and what a judge says costs calls, so these are only there if asked for.
    """
    first = metric(optimised) if isinstance(optimised, str) else optimised
    needs = "answers" if first.needs == "llm" else first.needs
    wanted: set[Need] = {"references", "spans"} if needs in ("references", "spans") else {needs}
    others = (base for base, other in METRICS.items() if other.needs in wanted and base not in EXPENSIVE)
    taken = TAKEN if needs == "answers" else ()
    return tuple(dict.fromkeys((first.name, *others, *taken, "chunk_tokens")))
