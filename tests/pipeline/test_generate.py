"""Answers: extracted, or by an LLM through LlamaIndex's synthesizers."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from typing import Any, get_args

import pytest
from llama_index.core.base.llms.types import CompletionResponse, CompletionResponseGen, LLMMetadata
from llama_index.core.llms import CustomLLM

from raytuner import models
from raytuner.components import begin_run
from raytuner.documents.document import Document
from raytuner.errors import ConfigError
from raytuner.models.mock import MockLLM
from raytuner.models.spec import spec
from raytuner.pipeline import generate as module
from raytuner.pipeline.chunk import token_counter
from raytuner.pipeline.generate import ResponseMode, check_prompt, extract, generate, message_counter, split_sentences
from raytuner.pipeline.pipeline import Pipeline
from raytuner.testing.openai_server import Behaviour, OpenAIServer

CONTEXTS = [
    "Chunk size decides how much text is retrieved. Smaller chunks are more exact.\n\nCats sleep a lot.",
    "BM25 ranks by shared words. 1. It needs no model. Smaller chunks are more exact.",
    "The price of wheat fell in 1921. 2 of 3 farmers sold. 7 banks closed.",
]
QUESTION = "How does chunk size matter for retrieval?"


def extracted(question: str = QUESTION, contexts: list[str] = CONTEXTS, tokens: int = 100) -> str:
    answer: str = extract.run(question, contexts, embedding="wordllama", answer_tokens=tokens)
    return answer


def answered(contexts: list[str] = CONTEXTS, **params: Any) -> str:
    answer: str = asyncio.run(generate.run(QUESTION, contexts, **{"llm": "mock", **params})).text
    return answer


def test_sentences() -> None:
    assert split_sentences("One. Two?\n\nA heading\n\n  Three! ") == ("One.", "Two?", "A heading", "Three!")
    assert split_sentences(" \n ") == ()


def test_the_answer_is_made_of_sentences_of_the_contexts() -> None:
    sentences = list(dict.fromkeys(s for context in CONTEXTS for s in split_sentences(context)))
    answer = extracted(tokens=30)
    taken = [sentence for sentence in sentences if sentence in answer]
    assert answer == " ".join(taken)
    assert 0 < len(taken) < len(sentences)
    assert taken[0].startswith("Chunk size decides")
    assert extracted(tokens=1000) == " ".join(sentences)


@pytest.mark.parametrize("tokens", [12, 20, 25, 30, 40, 55])
def test_the_answer_keeps_to_its_tokens(tokens: int) -> None:
    assert token_counter()(extracted(tokens=tokens)) <= tokens
    assert token_counter()(extracted("How many farmers and banks?", CONTEXTS[2:], tokens)) <= tokens


def test_the_best_sentence_is_taken_even_if_it_is_too_long() -> None:
    assert extracted(tokens=1) == "Chunk size decides how much text is retrieved."


def test_more_contexts_change_the_answer() -> None:
    assert extracted(contexts=CONTEXTS[2:]) != extracted(contexts=CONTEXTS[1:]) == extracted(contexts=CONTEXTS[1:])


@pytest.mark.parametrize("contexts", [[], ["", " \n"]])
def test_no_context_no_answer(contexts: list[str]) -> None:
    assert extracted(contexts=contexts) == ""
    assert answered(contexts=contexts[:0]) == ""


def test_the_mock_answers_from_the_context() -> None:
    words = set(" ".join(CONTEXTS).split())
    assert set(answered().split()) <= words
    assert answered() == answered()
    assert answered(contexts=["word " * 500]) == " ".join(["word"] * 60)
    long = [" ".join(f"{letter}{number}" for number in range(300)) for letter in "abc"]
    assert len({answered(contexts=long[:count]) for count in (1, 2, 3)}) == 3
    assert answered(contexts=long[:1]) != answered(contexts=[long[0][:600]])


def test_an_own_prompt_is_used() -> None:
    prompt = 'Say {"json": 1} PASSWORD. {context_str} Q: {query_str}'
    assert answered(contexts=["Cats."], prompt=prompt) == f'Say {{"json": 1}} PASSWORD. Cats. Q: {QUESTION}'


@pytest.mark.parametrize("mode", get_args(ResponseMode))
@pytest.mark.parametrize("prompt", [None, "PASSWORD {context_str} {query_str}"])
def test_every_response_mode_runs(mode: str, prompt: str | None) -> None:
    answer = answered(response_mode=mode, prompt=prompt)
    assert answer.strip()
    if mode != "refine":  # its last prompt is the one that refines
        assert ("PASSWORD" in answer) == (prompt is not None)


@pytest.mark.parametrize(
    ("prompt", "missing"), [("{query_str}", "context_str"), ("{context_str}", "query_str"), ("", "context_str")]
)
def test_a_prompt_without_placeholders_is_refused(prompt: str, missing: str) -> None:
    with pytest.raises(ConfigError, match=f"lacks {{{missing}}}"):
        check_prompt({"prompt": prompt})


def test_a_prompt_with_placeholders_is_not_refused() -> None:
    check_prompt({"prompt": None})
    check_prompt({"prompt": '{context_str} {query_str} { other } {"a": 1} {"a"} {1, 2} {} { }{'})


@pytest.mark.parametrize("field", ["{foo}", "{context}", "{query_str!r}", "{0}", "{node.text}", "{context_str:>9}"])
def test_a_prompt_with_another_placeholder_is_refused(field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_prompt({"prompt": f"{{context_str}} {{query_str}} {field}"})
    assert f"holds {field}, which nothing fills in; only {{context_str}} and {{query_str}} are" in str(caught.value)
    assert f"write {{ {field[1:-1]} }}" in str(caught.value)


def test_braces_that_are_no_placeholders_reach_the_model_as_they_are() -> None:
    prompt = '{ {context_str} } {query_str} { other } {"a": 1} {'
    assert answered(contexts=["Cats."], prompt=prompt) == f'{{ Cats. }} {QUESTION} {{ other }} {{"a": 1}} {{'


def test_each_event_loop_has_its_own_model(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def llm(name: str, **options: Any) -> MockLLM:
        made.append((name, options))
        return MockLLM()

    monkeypatch.setattr(models, "llm", llm)
    module._synthesizer.cache_clear()

    async def twice() -> list[str]:
        return [(await generate.run(QUESTION, CONTEXTS, llm="mock", temperature=0.5)).text for _ in range(2)]

    assert asyncio.run(twice()) == asyncio.run(twice())
    assert made == [("mock", {"temperature": 0.5})] * 2


def test_versions_of_what_cuts_and_counts_are_in_the_keys_of_answers() -> None:
    assert {"llama-index-core", "nltk", "tiktoken"} <= set(extract.parts({}))
    assert {"llama-index-core", "tiktoken"} <= set(generate.parts({"llm": "mock"}))


class Changing(CustomLLM):
    """Answers with its word, at temperature 0; or not at all."""

    word: str = "first"
    temperature: float = 0.0
    asked: int = 0
    hangs: bool = False

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        self.asked += 1
        return CompletionResponse(text=self.word)

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        if self.hangs:
            self.asked += 1
            await asyncio.sleep(60)
        return self.complete(prompt)

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        raise NotImplementedError


def answers_of(llm: Changing) -> list[str]:
    pipeline = Pipeline([Document("a", "Tides follow the moon.")])
    return asyncio.run(pipeline.answers({"llm": spec(llm)}, ["What?"], [["Tides follow the moon."]]))


def test_an_llm_object_that_has_changed_is_asked_anew_in_the_next_search() -> None:
    llm = Changing()
    begin_run()
    assert (answers_of(llm), answers_of(llm), llm.asked) == (["first"], ["first"], 1)
    llm.word = "second"
    begin_run()
    assert (answers_of(llm), llm.asked) == (["second"], 2)


def test_a_cancelled_trial_does_not_wait_for_its_calls() -> None:
    llm = Changing(hangs=True)
    pipeline = Pipeline([Document("a", "Tides follow the moon.")])

    async def cancelled() -> None:
        task = asyncio.create_task(pipeline.answers({"llm": spec(llm)}, ["Why?"], [["Tides follow the moon."]]))
        while not llm.asked:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    begin_run()
    started = time.monotonic()
    asyncio.run(cancelled())
    before = threading.active_count()
    while any(thread.name.startswith("raytuner-answers") and _is_busy(thread) for thread in threading.enumerate()):
        assert time.monotonic() - started < 20, before
        time.sleep(0.05)


def _is_busy(thread: threading.Thread) -> bool:
    """Whether a thread of the pool is at work: it waits in the pool's own queue otherwise."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if frame.f_code.co_name == "ask":
            return True
        frame = frame.f_back
    return False


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [("user", "How do tides rise?")],
        [("system", "You answer questions.\nAlways."), ("user", "Why?"), ("assistant", "So.")],
        [("user", "")],
        [("user", "  ")],
        [("user", "潮汐 and 🌊")],
    ],
)
def test_prompts_are_counted_as_llamaindex_does(messages: list[tuple[str, str]]) -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.core.utilities.token_counting import TokenCounter

    made = [ChatMessage(role=role, content=content) for role, content in messages]
    assert message_counter().estimate_tokens_in_messages(made) == TokenCounter().estimate_tokens_in_messages(made)
    made.append(ChatMessage(role="assistant", content="x", additional_kwargs={"function_call": {"name": "f"}}))
    assert message_counter().estimate_tokens_in_messages(made) == TokenCounter().estimate_tokens_in_messages(made)


@pytest.mark.parametrize("prompt", [None, "Context: {context_str}\nQuestion: {query_str}"])
def test_what_fits_into_one_prompt_is_asked_as_llamaindex_asks(
    monkeypatch: pytest.MonkeyPatch, prompt: str | None
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    asked: list[str] = []

    def answer(given: str) -> str:
        asked.append(given)
        return f"answer {len(given)}"

    async def both(model: Any, contexts: list[str]) -> tuple[list[str], list[str]]:
        synthesizer = module._synthesizer(asyncio.get_running_loop(), model, 0.0, "compact", prompt)
        llm = module.model_for(asyncio.get_running_loop(), model, 0.0)
        found = []
        for text in (
            module._answer(llm, synthesizer, QUESTION, contexts, prompt, "compact"),
            synthesizer.aget_response(QUESTION, contexts),
        ):
            asked.clear()
            found.append([await text, *asked])
        return found[0], found[1]

    counts = set()
    with OpenAIServer(Behaviour(answer=answer)) as server:
        given = {"model": "openai-like:tiny", "base_url": server.base_url, "context_window": 2000, "max_tokens": 100}
        model = spec("mine", {"mine": given})
        for words in (10, 1100, 1200, 1700, 1800, 1900, 2500):
            contexts = ["  潮汐 follow the moon.\n", " ", "tide " * words]
            short, whole = asyncio.run(both(model, contexts))
            assert short == whole
            counts.add(len(whole))
    assert min(counts) == 2 < max(counts)  # one prompt, and several


def test_no_prompt_of_llamaindex_is_longer_than_is_kept_free() -> None:
    from llama_index.core.response_synthesizers import get_response_synthesizer

    synthesizer = get_response_synthesizer(llm=MockLLM())
    prompts = [synthesizer._text_qa_template, synthesizer._refine_template]
    each = [one for prompt in prompts for one in (prompt.default_template, *(kind for _, kind in prompt.conditionals))]
    longest = max(token_counter()("\n".join(str(message) for message in one.format_messages())) for one in each)
    assert 100 < longest + getattr(synthesizer, "_response_padding_size", 5) < module.TEMPLATES
