"""Answers: extracted from the retrieved chunks, or written by an LLM from them."""

from __future__ import annotations

import asyncio
import re
import time
from array import array
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from annotated_types import Ge, Gt, Le

from raytuner import models
from raytuner.calls import labelled
from raytuner.calls.context import waiting
from raytuner.errors import ConfigError, RaytunerError
from raytuner.pipeline import usage
from raytuner.pipeline.chunk import token_counter
from raytuner.pipeline.embed import LongText, Model, embedder, model_identity
from raytuner.pipeline.sentences import sentences as sentence_ranges
from raytuner.pipeline.splitters import LLAMA_INDEX
from raytuner.pipeline.stage import stage
from raytuner.store import JSON, Adapted, Codec

EXTRACTIVE = "extractive"
ResponseMode = Literal["compact", "refine", "tree_summarize", "simple_summarize", "accumulate", "compact_accumulate"]


TEMPLATES = 700
"""LlamaIndex's own prompts, and what it keeps free beside them, are fewer tokens."""


class Answer(NamedTuple):
    """What an LLM answered, and what it took; a replayed answer has what the real one took.

    Attributes:
        text: The answer.
        seconds: From the question to the answer.
        prompt_tokens: Of all calls for the answer, as the service counted them; None if it did not.
        completion_tokens: Likewise.
    """

    text: str
    seconds: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


ANSWER: Codec[Answer] = Adapted("answer-1", JSON, Answer._asdict, lambda fields: Answer(**fields))
"""How the answer of an LLM is stored."""


@stage(version=1, codec=JSON, libraries=LLAMA_INDEX, embedding=model_identity)
def extract(
    question: str,
    contexts: Sequence[str],
    *,
    embedding: Model = "minilm",
    long_text: LongText = "windows",
    answer_tokens: Annotated[int, Gt(0)] = 100,
) -> str:
    """Answer without an LLM: the sentences of the contexts that are most similar to the question.

    Args:
        question: The question.
        contexts: The texts of the retrieved chunks.
        embedding: The run's own embedding model.
        long_text: See `embed_chunks`.
        answer_tokens: The most tokens of the answer. The best sentence is taken even if it is longer.

    Returns:
        The chosen sentences in the order of the contexts, joined by spaces; empty without contexts.
    """
    sentences = list(dict.fromkeys(s for context in contexts for s in split_sentences(context)))
    if not sentences:
        return ""
    model = embedder(embedding, long_text)
    similarity = model.texts(sentences).astype(np.float64) @ model.queries([question])[0].astype(np.float64)
    taken: list[int] = []
    count, total = token_counter(), 0
    for position in np.argsort(-np.round(similarity, 9), kind="stable").tolist():
        tokens = count(" " + sentences[position])  # as it stands in the answer
        if taken and total + tokens > answer_tokens:
            break
        taken.append(position)
        total += tokens
    return " ".join(sentences[position] for position in sorted(taken))


@lru_cache(maxsize=50_000)
def split_sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text, paragraph by paragraph."""
    return tuple(block[start:end] for block in text.split("\n\n") for start, end in sentence_ranges(block))


def llm_identity(own: Mapping[str, Any]) -> str:
    """What stands for an LLM in a key."""
    return EXTRACTIVE if own["llm"] == EXTRACTIVE else models.llm_identity(own["llm"])


_FIELD = re.compile(r"\{\w[^\s{}\"',]*\}")
"""What is meant as a placeholder; JSON and code in braces are not."""


def check_prompt(params: Mapping[str, Any]) -> None:
    """Refuse a prompt without its placeholders, or with others.

    Raises:
        ConfigError: With the placeholder.
    """
    prompt = generate.own(params)["prompt"]
    if prompt is None:
        return
    for placeholder in ("{context_str}", "{query_str}"):
        if placeholder not in prompt:
            raise ConfigError(
                f"the prompt {prompt[:60]!r} lacks {placeholder}; it must hold {{context_str}} and {{query_str}}"
            )
    if others := set(_FIELD.findall(prompt)) - {"{context_str}", "{query_str}"}:
        field = min(others)
        raise ConfigError(
            f"the prompt {prompt[:60]!r} holds {field}, which nothing fills in; only {{context_str}} and {{query_str}} "
            f"are; where the text itself is meant, write {{ {field[1:-1].strip()} }}: other braces stay as they are"
        )


@stage(version=3, codec=ANSWER, libraries=("llama-index-core", "tiktoken"), llm=llm_identity)
async def generate(
    question: str,
    contexts: Sequence[str],
    *,
    llm: Model = EXTRACTIVE,
    prompt: str | None = None,
    response_mode: ResponseMode = "compact",
    temperature: Annotated[float, Ge(0), Le(2)] = 0.0,
) -> Answer:
    """Answer with an LLM through LlamaIndex's response synthesizers.

    Args:
        question: The question.
        contexts: The texts of the retrieved chunks, best first.
        llm: The name of the model; ``extractive`` (the default) is not one and is answered by `extract`.
        prompt: A text with ``{context_str}`` and ``{query_str}``; None is LlamaIndex's own.
        response_mode: How LlamaIndex puts contexts into prompts.
        temperature: The sampling temperature.

    Returns:
        The answer; empty without contexts, where LlamaIndex would answer "Empty Response".
    """
    if not contexts:
        return Answer("")
    loop = asyncio.get_running_loop()
    model = model_for(loop, llm, temperature)
    synthesizer = _synthesizer(loop, llm, temperature, response_mode, prompt)
    started = time.perf_counter()
    with usage.counted() as used, labelled(stage="answers"), waiting() as waits:
        text = await _answer(model, synthesizer, question, contexts, prompt, response_mode)
    # What raytuner itself made it wait for, limits and attempts that failed, is no property of the configuration.
    seconds = max(time.perf_counter() - started - waits.seconds, waits.longest)
    if not isinstance(text, str):
        raise RaytunerError(f"llm {str(llm)!r} returned a {type(text).__name__}, not a text")
    return Answer(text, round(seconds, 6), used.prompt_tokens, used.completion_tokens)


async def _answer(
    model: Any, synthesizer: Any, question: str, contexts: Sequence[str], prompt: str | None, response_mode: str
) -> Any:
    """What a synthesizer answers; without its search for the best packing where all contexts fit into one prompt."""
    packed = packed_into_one(model, question, contexts, prompt) if response_mode == "compact" else None
    if packed is not None:
        return await model.apredict(template(prompt), context_str=packed, query_str=question)
    return await synthesizer.aget_response(question, list(contexts))


def packed_into_one(model: Any, question: str, contexts: Sequence[str], prompt: str | None) -> str | None:
    """All contexts as the one text that ``compact`` makes of them; None if it does not surely fit into one prompt."""
    packed = "\n\n".join(filter(None, map(str.strip, contexts)))
    around = question + (prompt or "") + (getattr(model, "system_prompt", None) or "")
    # No tokenizer makes more tokens of a text than it has bytes.
    room = model.metadata.context_window - abs(model.metadata.num_output) - TEMPLATES - len(around.encode())
    return packed if packed and (len(packed.encode()) <= room or len(_tokens(packed)) <= room) else None


@lru_cache(maxsize=64)
def template(prompt: str | None) -> Any:
    """The prompt for an answer; LlamaIndex's own for None."""
    from llama_index.core import PromptTemplate
    from llama_index.core.prompts.default_prompt_selectors import DEFAULT_TEXT_QA_PROMPT_SEL

    return DEFAULT_TEXT_QA_PROMPT_SEL if prompt is None else PromptTemplate(prompt)


def may_sample(params: Mapping[str, Any]) -> bool:
    """Whether asking again may give another answer, as far as is known without making the LLM."""
    own = generate.own(params)
    return models.may_sample(own["llm"], own["temperature"])


def is_sampled(params: Mapping[str, Any]) -> bool:
    """Whether asking again may give another answer. To be called on the event loop that asks."""
    own = generate.own(params)
    llm, temperature = own["llm"], own["temperature"]
    return models.is_sampled(llm, temperature, lambda: model_for(asyncio.get_running_loop(), llm, temperature))


@lru_cache(maxsize=64)
def model_for(loop: asyncio.AbstractEventLoop, llm: Model, temperature: float) -> Any:
    """The LLM of a name, made once for an event loop."""
    # One for each event loop: a model keeps an asynchronous client, whose connections belong to the loop.
    return models.llm(llm, temperature=temperature)


@lru_cache(maxsize=64)
def _synthesizer(
    loop: asyncio.AbstractEventLoop, llm: Model, temperature: float, response_mode: str, prompt: str | None
) -> Any:
    from llama_index.core import PromptTemplate
    from llama_index.core.indices.prompt_helper import PromptHelper
    from llama_index.core.response_synthesizers import ResponseMode as Modes
    from llama_index.core.response_synthesizers import get_response_synthesizer

    templates = {}
    if prompt is not None:
        name = "summary_template" if response_mode == "tree_summarize" else "text_qa_template"
        templates[name] = PromptTemplate(prompt)
    model = model_for(loop, llm, temperature)
    helper = PromptHelper.from_llm_metadata(model.metadata, tokenizer=_tokens)
    helper._token_counter = message_counter()
    return get_response_synthesizer(
        llm=model, response_mode=Modes(response_mode), use_async=True, prompt_helper=helper, **templates
    )


@cache
def message_counter() -> Any:
    """LlamaIndex's counter of the tokens of prompts; its own starts a thread and an event loop for each message."""
    from llama_index.core.utilities.token_counting import TokenCounter

    class Counter(TokenCounter):  # type: ignore[misc]
        def estimate_tokens_in_messages(self, messages: list[Any]) -> int:
            if not all(map(_is_plain, messages)):
                return int(super().estimate_tokens_in_messages(messages))
            return sum(self.get_string_tokens(one.role) + self.get_string_tokens(one.content) + 3 for one in messages)

    return Counter(_tokens)


def _is_plain(message: Any) -> bool:
    """Whether a message is one text and nothing else."""
    blocks = message.blocks
    is_text = len(blocks) == 1 and blocks[0].block_type == "text" and bool(blocks[0].text)
    return is_text and bool(message.role) and not message.additional_kwargs


@lru_cache(maxsize=32)
def _tokens(text: str) -> Sequence[int]:
    """LlamaIndex's default tokenizer; for one answer its synthesizers count the same contexts four times."""
    from llama_index.core.utils import get_tokenizer

    return array("L", get_tokenizer()(text))
