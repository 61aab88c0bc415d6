"""About what the calls of a search will cost, before any is made."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from raytuner.calls.prices import as_of
from raytuner.calls.request import WHOLE
from raytuner.cost import dollars
from raytuner.estimate import Estimate, configurations, estimate
from raytuner.metrics.registry import JUDGED
from raytuner.models import CALLED, ModelSpec
from raytuner.models.pricing import batch_price, price
from raytuner.pipeline.generate import EXTRACTIVE
from raytuner.pipeline.parameters import defaults
from raytuner.plan import Plan
from raytuner.rag import RagObjective
from raytuner.space import SearchSpace

PROMPT, ANSWER, JUDGE_PROMPT = 150, 100, 350
"""Tokens of a prompt beside the chunks, of an answer, and of a judge's prompt beside what it judges; about."""
ASK_ABOVE_USD = 5.0
"""A search that is expected to cost more is asked about on a terminal."""


class Calls(NamedTuple):
    """About what the calls of one model for one stage take.

    Attributes:
        model: The model.
        stage: What it is asked for.
        calls: How many calls.
        prompt_tokens: Their prompts together.
        completion_tokens: Their answers together.
        usd: In dollars; None if the price is unknown.
    """

    model: str
    stage: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None


BY_CHUNK = ("refine", "accumulate")
"""Response modes that ask about each chunk by itself."""


def expected_calls(objective: RagObjective, space: SearchSpace, trials: int | None, found: Estimate) -> list[Calls]:
    """What the calls of services will take, if every trial runs to its end: racing makes it less.

    Args:
        objective: The objective.
        space: The space.
        trials: The most trials.
        found: What is to be computed.
    """
    owns = [{**defaults(), **own} for own in configurations(objective, space, trials)]
    calls = [*_answers(objective, owns, found), *_judgements(objective, owns, found), *_embedded(objective, found)]
    return [one for one in calls if one.calls]


def _answers(objective: RagObjective, owns: Sequence[Mapping[str, Any]], found: Estimate) -> Iterator[Calls]:
    if not objective.needs_answers:
        return
    by_llm: dict[str, list[Mapping[str, Any]]] = {}
    for own in owns:
        by_llm.setdefault(str(own["llm"]), []).append(own)
    by_llm.pop(EXTRACTIVE, None)
    asked = sum(map(len, by_llm.values()))
    for llm, ones in by_llm.items():
        (spec,) = objective.specs([llm])
        count = round(found.answers * len(ones) / asked) * objective.repeats
        # Some modes make a call for each chunk.
        each = statistics.fmean(own["top_k"] if own["response_mode"] in BY_CHUNK else 1 for own in ones)
        context = statistics.fmean(_context(own) for own in ones) / each
        yield _calls(spec, "answers", round(count * each), context + PROMPT)


def _judgements(objective: RagObjective, owns: Sequence[Mapping[str, Any]], found: Estimate) -> Iterator[Calls]:
    if objective.judge is None:
        return
    (spec,) = objective.specs([objective.judge.llm])
    judged = [metric for metric in objective.modes if metric in JUDGED]
    context = statistics.fmean(_context(own) for own in owns)
    tokens = sum(ANSWER + JUDGE_PROMPT + (0 if metric == "correctness" else context) for metric in judged)
    count = max(found.answers, objective.total * len(owns) if not found.answers else 0) * objective.repeats
    if judged:
        yield _calls(spec, "judge", count * len(judged), tokens / len(judged))


def _embedded(objective: RagObjective, found: Estimate) -> Iterator[Calls]:
    for embedding in found.embeddings:
        (spec,) = objective.specs([embedding.model])
        if spec.kind in CALLED and embedding.tokens:
            cost = price(spec)
            usd = None if cost is None else cost.of(embedding.tokens, 0)
            texts = sum(texts.needed for texts in embedding.texts)
            yield Calls(spec.name, "embeddings", texts, embedding.tokens, 0, usd)


def _context(own: Mapping[str, Any]) -> float:
    """About how many tokens of chunks are in a prompt."""
    size = own.get("chunk_size") or 512
    return float(own["top_k"]) * float(size)


def _calls(spec: ModelSpec, stage: str, count: int, prompt_tokens: float) -> Calls:
    if spec.kind not in CALLED:
        return Calls(spec.name, stage, 0, 0, 0, 0.0)
    answer = min(ANSWER, spec.max_tokens or ANSWER)
    prompts, answers = round(count * prompt_tokens), count * answer
    cost = batch_price(spec) if spec.batch and stage in WHOLE else price(spec)
    return Calls(spec.name, stage, count, prompts, answers, None if cost is None else cost.of(prompts, answers))


def expected_usd(plan: Plan) -> float:
    """About what a search will cost in dollars; what has no price does not count, nor does the user's own objective."""
    objective = plan.objective
    if not isinstance(objective, RagObjective) or not plan.complete:
        return 0.0
    found = estimate(objective, plan.space, plan.trials)
    return sum(one.usd or 0.0 for one in expected_calls(objective, plan.space, plan.trials, found))


def said(calls: Sequence[Calls]) -> Iterator[str]:
    """The estimate as lines."""
    for one in calls:
        usd = "price unknown, see models.NAME.price" if one.usd is None else f"{dollars(one.usd)} USD"
        noun = "texts" if one.stage == "embeddings" else "calls"
        tokens = f"{_rounded(one.prompt_tokens)} + {_rounded(one.completion_tokens)} tokens"
        yield f"  {one.stage} by {one.model}: about {one.calls:,} {noun}, {tokens}, {usd}"
    known = [one.usd for one in calls if one.usd is not None]
    if known and sum(known) > 0:
        lacks = "" if len(known) == len(calls) else " and what has no price"
        when = f"prices of {as_of()}, or the config's"
        yield f"  in all about {dollars(sum(known))} USD{lacks}, less with racing ({when})"


def _rounded(count: int) -> str:
    return f"{round(count, -3) if count > 10_000 else count:,}"
