"""Judgements of an LLM on answers, by LlamaIndex's evaluators."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, Le

from raytuner import models
from raytuner.calls import labelled
from raytuner.errors import ConfigError, TrialError
from raytuner.pipeline.embed import Model
from raytuner.pipeline.stage import stage
from raytuner.store import JSON, Adapted, Codec

Criterion = Literal["correctness", "faithfulness", "relevancy"]
JUDGE = "judge"
"""The stage of its calls."""

PLACEHOLDERS: Mapping[str, tuple[str, ...]] = {
    "correctness": ("{query}", "{reference_answer}", "{generated_answer}"),
    "faithfulness": ("{query_str}", "{context_str}"),
    "relevancy": ("{query_str}", "{context_str}"),
}
"""What a prompt of the user's own has to hold; for ``faithfulness`` the query is the answer."""

LOWEST, HIGHEST = 1.0, 5.0
"""The scale of ``correctness``."""


class Judgement(NamedTuple):
    """What a judge said.

    Attributes:
        score: From 0 to 1; None if it gave none.
        reason: Its own words, or why there is no score.
    """

    score: float | None
    reason: str


JUDGEMENT: Codec[Judgement] = Adapted("judgement-2", JSON, Judgement._asdict, lambda fields: Judgement(**fields))


def judge_identity(own: Mapping[str, Any]) -> str:
    """What stands for the judge in a key."""
    return models.llm_identity(own["llm"])


def check_judge_prompt(criterion: str, prompt: str) -> None:
    """Refuse a prompt of a judge that lacks a placeholder.

    Raises:
        ConfigError: With the placeholder.
    """
    for placeholder in PLACEHOLDERS[criterion]:
        if placeholder not in prompt:
            wanted = ", ".join(PLACEHOLDERS[criterion])
            raise ConfigError(f"the judge's prompt for {criterion} lacks {placeholder}; it must hold {wanted}")
    known = {name for names in PLACEHOLDERS.values() for name in names}
    if others := sorted((known & set(re.findall(r"\{\w+\}", prompt))) - set(PLACEHOLDERS[criterion])):
        raise ConfigError(
            f"the judge's prompt for {criterion} holds {others[0]}, which is not filled in there; remove it"
        )


@stage(version=3, codec=JUDGEMENT, libraries=("llama-index-core", "tiktoken"), llm=judge_identity)
async def judge(
    criterion: Criterion,
    question: str,
    answer: str,
    contexts: Sequence[str],
    reference: str | None,
    *,
    llm: Model,
    prompt: str | None = None,
    temperature: Annotated[float, Ge(0), Le(2)] = 0.0,
) -> Judgement:
    """Have an answer judged.

    Args:
        criterion: ``correctness``: how right it is, by the reference answer; ``faithfulness``: whether the contexts
            support it; ``relevancy``: whether answer and contexts are about the question.
        question: The question.
        answer: The answer of the pipeline.
        contexts: The texts of the retrieved chunks.
        reference: The right answer, if there is one.
        llm: The judge.
        prompt: A text with the placeholders of `PLACEHOLDERS`; None is LlamaIndex's own.
        temperature: Of the judge.

    Returns:
        The score, of correctness ``(s - 1) / 4`` for LlamaIndex's s from 1 to 5, else 1 for yes and 0 for no; or why
        what was said is no score, which is kept as well: asked again the judge would say the same.
    """
    if criterion != "correctness" and not contexts:
        return Judgement(0.0, "nothing was retrieved")
    evaluator = _evaluator(asyncio.get_running_loop(), criterion, llm, prompt, temperature)
    with labelled(stage=JUDGE):
        found = await evaluator.aevaluate(query=question, response=answer, contexts=list(contexts), reference=reference)
    said = found.feedback or ""
    try:
        score = _score_of(said, criterion)
    except TrialError as error:
        return Judgement(None, str(error))
    return Judgement(score, said)


def _score_of(said: str, criterion: str) -> float:
    if criterion == "correctness":
        return (_number(said, criterion) - LOWEST) / (HIGHEST - LOWEST)
    return _yes_or_no(said, criterion)


@stage(version=1, codec=JSON, libraries=("openai",), llm=judge_identity)
async def reply(
    ask: Callable[[], Coroutine[Any, Any, Any]], *, llm: Model, temperature: Annotated[float, Ge(0), Le(2)] = 0.0
) -> Any:
    """What an LLM says to a metric of the user's own.

    Args:
        ask: Asks it.
        llm: The LLM.
        temperature: Of it.

    Returns:
        The answer, as JSON can hold it.
    """
    return (await ask()).model_dump(mode="json")


@lru_cache(maxsize=64)
def _evaluator(
    loop: asyncio.AbstractEventLoop, criterion: Criterion, llm: Model, prompt: str | None, temperature: float
) -> Any:
    from llama_index.core import PromptTemplate, evaluation

    made = {
        "correctness": lambda **own: evaluation.CorrectnessEvaluator(parser_function=_as_it_is, **own),
        "faithfulness": evaluation.FaithfulnessEvaluator,
        "relevancy": evaluation.RelevancyEvaluator,
    }
    make: Callable[..., Any] = made[criterion]
    template = None if prompt is None else PromptTemplate(prompt)
    return make(llm=models.llm(llm, temperature=temperature), eval_template=template)


def _as_it_is(said: str) -> tuple[float | None, str]:
    """LlamaIndex's parser fails on an answer of one line."""
    return None, said


_NUMBER = r"(?<![\w.-])\d+(?:\.\d+)?(?!\w|\.\d)"
_ALONE = re.compile(rf"^\W*({_NUMBER})(?:\s*/\s*5)?\W*$", re.MULTILINE)
_SCALE = re.compile(r"\(?\b1\s*(?:-|\u2013|to|through)\s*5\b\)?|\b(?:out\s+of|of)\s+5\b", re.IGNORECASE)
"""What only names the scale."""
_NAMED = re.compile(rf"(?:score|rating|grade)\W{{1,10}}(?:is\W+)?({_NUMBER})", re.IGNORECASE)


def _number(said: str, criterion: str) -> float:
    """The one number on a line of its own, else the one that is called the score, else the only one there is."""
    said = _SCALE.sub(" ", said)
    numbers, alone = re.findall(_NUMBER, said), set(_ALONE.findall(said))
    named = _NAMED.search(said)
    text = alone.pop() if len(alone) == 1 else named[1] if named else numbers[0] if len(numbers) == 1 else ""
    if not text or not LOWEST <= float(text) <= HIGHEST:
        raise TrialError(f"the judge gave no score from 1 to 5 for {criterion}: {_short(said)}")
    return float(text)


def _yes_or_no(said: str, criterion: str) -> float:
    """What it begins or ends with, else the only one of the two words."""
    words = re.findall(r"\w+", said.lower())
    ends = [word for word in (*words[:1], *words[-1:]) if word in ("yes", "no")]
    found = set(ends) or {"yes", "no"} & set(words)
    if len(found) != 1:
        raise TrialError(f"the judge said neither yes nor no for {criterion}: {_short(said)}")
    return float("yes" in found)


def _short(said: str) -> str:
    """Not what it quotes from documents."""
    return "nothing" if not said.strip() else f"{len(said)} other characters"
