"""Which answers of LLMs are shared between trials, and what is stored of them."""

from __future__ import annotations

import asyncio
import itertools
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from llama_index.core.base.llms.types import CompletionResponse, CompletionResponseGen, LLMMetadata
from llama_index.core.llms import CustomLLM
from llama_index.core.llms.callbacks import llm_completion_callback

from raytuner.models import ModelSpec
from raytuner.models.spec import spec
from raytuner.pipeline.cache import StageCache
from raytuner.pipeline.generate import Answer, generate
from raytuner.pipeline.pipeline import Pipeline

CONTEXTS = ["Cats sleep a lot."]
_asked = itertools.count(1)
SECONDS = 0.05


class Own(CustomLLM):
    """Gives another answer each time."""

    temperature: float = 0.0
    is_chat_model: bool = False

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_chat_model=self.is_chat_model)

    @llm_completion_callback()  # type: ignore[untyped-decorator]
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        usage = {"prompt_tokens": 10, "completion_tokens": 2}
        return CompletionResponse(text=f"answer {next(_asked)}", raw={"usage": usage})

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        raise NotImplementedError


def dotted(**options: Any) -> ModelSpec:
    return spec("own", {"own": {"model": f"{__name__}.Own", "options": options, "version": "1"}})


def answers(llm: Any, cache: StageCache, *, trials: int = 2, cache_sampled: bool = False, **params: Any) -> set[str]:
    """The answers of several trials to one question."""
    found = set()
    for _ in range(trials):
        pipeline = Pipeline([], cache, cache_sampled=cache_sampled)
        found |= set(asyncio.run(pipeline.answers({"llm": llm, **params}, ["What do cats do?"], [CONTEXTS])))
    return found


@pytest.mark.parametrize("make", [dotted, lambda **options: spec(Own(**options))], ids=["dotted path", "object"])
def test_answers_are_shared_unless_the_llm_samples_by_its_own_settings(make: Any) -> None:
    assert len(answers(make(temperature=0.0), StageCache())) == 1
    assert len(answers(make(temperature=0.7), StageCache())) == 2
    assert len(answers(make(temperature=0.7), StageCache(), cache_sampled=True)) == 1
    assert len(answers(make(temperature=0.0), StageCache(), temperature=0.7)) == 1  # which has no effect on it


class Service(BaseHTTPRequestHandler):
    """Answers after a while, and counts the letters and the words of what it was asked as tokens."""

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
        time.sleep(SECONDS)
        message = {"role": "assistant", "content": f"answer {next(_asked)}"}
        usage = {"prompt_tokens": len(said), "completion_tokens": len(said.split()), "total_tokens": 0}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelSpec]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    url = f"http://127.0.0.1:{server.server_port}/v1"
    yield spec("s", {"s": {"model": "openai-like:m", "base_url": url}})
    server.shutdown()
    server.server_close()


def test_answers_of_a_service_are_shared_at_temperature_0_only(served: ModelSpec) -> None:
    assert len(answers(served, StageCache())) == 1
    assert len(answers(served, StageCache(), temperature=0.7)) == 2
    assert len(answers(served, StageCache(), temperature=0.7, cache_sampled=True)) == 1


PROMPT = "{context_str} {query_str}"


def answered(llm: ModelSpec, *questions: str, contexts: list[str] = CONTEXTS, **params: Any) -> list[Answer]:
    async def together() -> list[Answer]:
        asked = (generate({"llm": llm, "prompt": PROMPT, **params}, question, contexts) for question in questions)
        return list(await asyncio.gather(*asked))

    return asyncio.run(together())


def test_an_answer_has_the_tokens_and_the_seconds_of_its_own_calls(served: ModelSpec) -> None:
    questions = ["What?", "What do cats do all day?", "Why?"]
    for question, answer in zip(questions, answered(served, *questions), strict=True):
        prompt = f"{CONTEXTS[0]} {question}"
        assert (answer.prompt_tokens, answer.completion_tokens) == (len(prompt), len(prompt.split()))
        assert SECONDS <= answer.seconds < 30


def test_the_calls_of_an_answer_are_summed(served: ModelSpec) -> None:
    (answer,) = answered(served, "Why?", contexts=["Cats sleep.", "Dogs bark."], response_mode="accumulate")
    prompts = ["Cats sleep. Why?", "Dogs bark. Why?"]
    assert answer.prompt_tokens == sum(map(len, prompts))
    assert answer.completion_tokens == sum(len(prompt.split()) for prompt in prompts)


@pytest.mark.parametrize("is_chat_model", [False, True])
def test_a_call_that_makes_another_is_counted_once(is_chat_model: bool) -> None:
    (answer,) = answered(dotted(is_chat_model=is_chat_model), "Why?")
    assert (answer.prompt_tokens, answer.completion_tokens) == (10, 2)
