"""Answers of an LLM piece by piece, as it gives them."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from raytuner.calls import labelled
from raytuner.calls.context import Bill, charged
from raytuner.errors import TrialError
from raytuner.models.openai_api import ServiceLLM
from raytuner.pipeline import usage
from raytuner.pipeline.generate import Answer, generate, model_for, packed_into_one, template
from raytuner.pipeline.pipeline import Pipeline
from raytuner.values import FailedQuestion

WORDS = re.compile(r"\s*\S+\s*$|\s*\S+")
"""The words of a text with the white space before them; together they are the text."""


async def streamed(
    pipeline: Pipeline, params: Mapping[str, Any], question: str, contexts: Sequence[str], bill: Bill | None = None
) -> AsyncIterator[str | Answer]:
    """Answer a question piece by piece.

    Args:
        pipeline: The pipeline.
        params: The configuration.
        question: The question.
        contexts: The texts of the retrieved chunks, best first.
        bill: Where it is added what the calls cost.

    Yields:
        Pieces of the answer as the LLM gives them; the words of the whole answer where there is no LLM, it takes
        several prompts, or the LLM cannot give pieces. At last the `Answer`.

    Raises:
        TrialError: The question could not be answered.
    """
    bill = bill or Bill()
    if contexts and not pipeline.chain(params).is_extractive:
        async for piece in _given(params, question, contexts, bill):
            yield piece
            if isinstance(piece, Answer):
                return
    with charged(bill):
        (answer,) = await pipeline.answered(params, [question], [contexts])
    if isinstance(answer, FailedQuestion):
        raise TrialError(answer.reason)
    for word in WORDS.findall(answer.text):
        yield word
    yield answer


async def _given(
    params: Mapping[str, Any], question: str, contexts: Sequence[str], bill: Bill
) -> AsyncIterator[str | Answer]:
    """Pieces from the LLM and then the answer; nothing if it has to be asked for the whole answer."""
    own = generate.own(params)
    model = model_for(asyncio.get_running_loop(), own["llm"], own["temperature"])
    packed = packed_into_one(model, question, contexts, own["prompt"]) if own["response_mode"] == "compact" else None
    if packed is None:
        return
    said: asyncio.Queue[str | Answer | None] = asyncio.Queue()
    # In a task of its own: what is noted of calls is of one context, and whoever wants the pieces may be of several.
    with charged(bill):
        asking = asyncio.create_task(_say(model, template(own["prompt"]), question, packed, said))
    try:
        while (piece := await said.get()) is not None:
            yield piece
        await asking
    finally:
        asking.cancel()


async def _say(model: Any, prompt: Any, question: str, context: str, said: asyncio.Queue[str | Answer | None]) -> None:
    """Put into a queue what an LLM says, the answer, and None at the end, also if it fails."""
    started, text = time.perf_counter(), ""
    try:
        with usage.counted() as used, labelled(stage="answers"):
            async for piece in await _pieces(model, prompt, context_str=context, query_str=question):
                used.add(getattr(piece, "raw", None))
                text += piece.delta or ""
                if piece.delta:
                    said.put_nowait(piece.delta)
        seconds = round(time.perf_counter() - started, 6)
        said.put_nowait(Answer(text, seconds, used.prompt_tokens, used.completion_tokens))
    except NotImplementedError:
        if text:
            raise
    finally:
        said.put_nowait(None)


async def _pieces(model: Any, prompt: Any, **texts: str) -> Any:
    """What comes of an LLM: the first pieces, and so on."""
    if isinstance(model, ServiceLLM):  # which says what it took only if it is asked to
        return await model.astream_chat(model._get_messages(prompt, **texts), stream_options={"include_usage": True})
    if model.metadata.is_chat_model:
        return await model.astream_chat(model._get_messages(prompt, **texts))
    return await model.astream_complete(model._get_prompt(prompt, **texts), formatted=True)
