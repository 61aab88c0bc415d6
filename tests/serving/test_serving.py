"""The server, asked by OpenAI's own client and by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import uvicorn

import raytuner
from raytuner.errors import ConfigError, UserError
from raytuner.serving.app import make_app
from raytuner.serving.gate import Limits
from raytuner.serving.serve import keys_of, listening
from raytuner.testing.openai_server import Behaviour, OpenAIServer

pytestmark = pytest.mark.timeout(120)
BM25 = "pipeline: {retriever: bm25, chunk_size: 30, chunk_overlap: 0}\nspace: {top_k: [1, 2]}\n"
BY_LLM = """\
models: {{tiny: {{model: "openai-like:tiny", base_url: "{url}"}}}}
pipeline: {{retriever: bm25, chunk_size: 30, chunk_overlap: 0, llm: tiny}}
space: {{top_k: [1, 2]}}
"""
TRIALS = [({"top_k": 1}, 0.2), ({"top_k": 2}, 0.9)]
KEY = "a-key-that-nobody-guesses"
QUESTION = "How many days of paid leave has an employee?"
MakeRun = Callable[..., Path]


@contextlib.contextmanager
def served(run: Path, **options: Any) -> Iterator[str]:
    """The address of a server in a thread of this process."""
    with listening("127.0.0.1", 0) as listens:
        config = uvicorn.Config(make_app(raytuner.load(run), **options), log_level="warning")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listens]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listens.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    monkeypatch.setattr("raytuner.calls.request.BACKOFF_S", (0.02, 0.1))
    with OpenAIServer(Behaviour(answer=lambda _: "Thirty days. A year.")) as server:
        yield server


def wait_for(upstream: OpenAIServer) -> None:
    """Until it is asked something."""
    until = time.monotonic() + 60
    while not upstream.most_in_flight:
        assert time.monotonic() < until
        time.sleep(0.02)


def client(url: str, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


def chat(url: str, content: Any = QUESTION, key: str = "none", **given: Any) -> Any:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": content}]
    return client(url, key).chat.completions.create(model="raytuner", messages=messages, **given)  # type: ignore[call-overload]


def test_openais_client_is_answered(make_run: MakeRun) -> None:
    run = make_run(BM25, TRIALS)
    expected = raytuner.load(run).ask(QUESTION)
    with served(run) as url:
        found = chat(url, temperature=0.3)
        assert found.choices[0].message.content == expected.text
        assert found.choices[0].finish_reason == "stop"
        assert [one["text"] for one in found.sources] == [one.text for one in expected.sources]
        assert found.sources[0]["citation"] == "leave.md"
        assert "source" not in found.sources[0], "no path of this machine"
        assert found.took["usd"] == 0
        assert chat(url, [{"type": "text", "text": QUESTION}]).choices == found.choices
        assert [one.id for one in client(url).models.list()] == ["raytuner"]
        assert client(url).models.retrieve("raytuner").owned_by == "raytuner"


def test_a_stream_has_the_pieces_the_sources_and_the_tokens(make_run: MakeRun, upstream: OpenAIServer) -> None:
    upstream.behaviour.piece_s = 0.2
    with served(make_run(BY_LLM.format(url=upstream.base_url), TRIALS)) as url:
        started, arrived, chunks = time.monotonic(), [], []
        for chunk in chat(url, stream=True, stream_options={"include_usage": True}):
            arrived.append(time.monotonic() - started)
            chunks.append(chunk)
    said = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert said == ["Thirty", " days.", " A", " year."]
    assert arrived[-1] - arrived[1] > 0.4, "they come as the model gives them"
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert len(chunks[-2].sources) == 2
    assert chunks[-1].usage.completion_tokens == 4


def test_many_at_once(make_run: MakeRun, upstream: OpenAIServer) -> None:
    upstream.behaviour.latency_s = 0.1
    with served(make_run(BY_LLM.format(url=upstream.base_url), TRIALS)) as url:

        async def ask_all() -> list[Any]:
            own = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
            asked = [
                own.chat.completions.create(
                    model="raytuner", messages=[{"role": "user", "content": f"Leave for {number} days?"}]
                )
                for number in range(12)
            ]
            return await asyncio.gather(*asked)

        found = asyncio.run(ask_all())
    assert {one.choices[0].message.content for one in found} == {"Thirty days. A year."}
    assert upstream.most_in_flight > 1


def test_more_at_once_or_a_minute_than_it_takes_on(make_run: MakeRun, upstream: OpenAIServer) -> None:
    upstream.behaviour.latency_s = 3.0
    run = make_run(BY_LLM.format(url=upstream.base_url), TRIALS)
    with served(run, limits=Limits(at_once=1)) as url:
        slow = threading.Thread(target=chat, args=(url,))
        slow.start()
        wait_for(upstream)
        with pytest.raises(openai.RateLimitError, match="1 requests are answered at once") as busy:
            chat(url, "Another one?")
        slow.join()
        assert busy.value.response.headers["Retry-After"] == "1"
    with served(run, limits=Limits(per_minute=2)) as url:
        client(url).models.list()
        client(url).models.list()
        with pytest.raises(openai.RateLimitError, match="2 requests a minute"):
            client(url).models.list()
        assert httpx.get(f"{url}/healthz").json() == {"status": "ok"}


def test_a_key_is_needed_where_there_is_one(make_run: MakeRun) -> None:
    with served(make_run(BM25, TRIALS), keys=("another-key-of-somebody", KEY)) as url:
        assert chat(url, key=KEY).choices
        for key in ("wrong", KEY[:-1], KEY + "x"):
            with pytest.raises(openai.AuthenticationError, match="the API key is wrong") as wrong:
                chat(url, key=key)
            assert wrong.value.code == "invalid_api_key"
            assert KEY not in str(wrong.value)
        assert httpx.get(f"{url}/v1/models").status_code == 401
        assert httpx.get(f"{url}/v1/models", headers={"Authorization": f"Basic {KEY}"}).status_code == 401
        assert httpx.get(f"{url}/healthz").status_code == 200
        by_name = httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {KEY}", "Host": "rag.example"})
        assert by_name.status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "rebound.example"}, 403),
        ({"Host": "localhost.evil.example:80"}, 403),
        ({"Origin": "https://page.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000"}, 200),
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "[::1]:8000"}, 200),
    ],
)
def test_without_a_key_only_what_is_meant_for_this_machine(
    make_run: MakeRun, headers: dict[str, str], status: int
) -> None:
    with served(make_run(BM25, TRIALS)) as url:
        assert httpx.get(f"{url}/v1/models", headers=headers).status_code == status


def test_what_is_wrong_with_a_request_is_said(make_run: MakeRun) -> None:
    with served(make_run(BM25, TRIALS)) as url:
        for content, said in (("", "empty"), ("x" * 100_000, "100,000 characters; a question has at most 10,000")):
            with pytest.raises(openai.BadRequestError, match=said):
                chat(url, content)
        with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-4o'; ask for 'raytuner'"):
            client(url).chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "?"}])
        with pytest.raises(openai.BadRequestError, match="one answer is given"):
            chat(url, n=2)
        rows: list[tuple[dict[str, Any], int]] = [
            ({"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),
            ({"json": {"model": "raytuner", "messages": []}}, 400),
            ({"json": {"model": "raytuner", "messages": "text"}}, 400),
            ({"json": []}, 400),
            ({"content": b"{}", "headers": {"Content-Type": "text/plain"}}, 415),
            ({"json": {"model": "x" * 300_000}}, 413),
            ({"content": iter([b" " * 100_000] * 4), "headers": {"Content-Type": "application/json"}}, 413),
        ]
        for given, status in rows:
            answer = httpx.post(f"{url}/v1/chat/completions", **given)
            assert answer.status_code == status
            assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert httpx.get(f"{url}/v1/chat/completions").status_code == 405
        assert httpx.get(f"{url}/docs").json()["error"]["code"] == "not_found"


def test_retrieve(make_run: MakeRun) -> None:
    run = make_run(BM25, TRIALS)
    expected = raytuner.load(run).retrieve(QUESTION)
    with served(run) as url:
        found = httpx.post(f"{url}/retrieve", json={"question": QUESTION}).json()["sources"]
        assert [(one["text"], one["score"]) for one in found] == [(one.text, one.score) for one in expected]
        assert httpx.post(f"{url}/retrieve", json={"question": ""}).status_code == 400


def test_an_upstream_that_fails_is_said_without_its_address(make_run: MakeRun, upstream: OpenAIServer) -> None:
    with served(make_run(BY_LLM.format(url=upstream.base_url), TRIALS)) as url:
        upstream.behaviour.script[:] = ["overflow"] * 2
        for stream in (False, True):
            with pytest.raises(openai.APIStatusError) as failed:
                list(chat(url, stream=stream))
            assert failed.value.status_code == 502
            assert "127.0.0.1" not in str(failed.value)
        upstream.behaviour.script[:] = ["truncated"]
        with pytest.raises(openai.APIError, match="did not answer"):
            list(chat(url, stream=True))
        upstream.behaviour.script[:] = []
        assert chat(url).choices[0].message.content == "Thirty days. A year."


def test_keys_and_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_KEY", KEY)
    monkeypatch.setenv("SHORT_KEY", "short")
    assert keys_of(["RAG_KEY"], "0.0.0.0") == (KEY,)
    assert keys_of([], "127.0.0.1") == keys_of([], "localhost") == keys_of([], "::1") == ()
    with pytest.raises(ConfigError, match=r"--host 0\.0\.0\.0: others could ask"):
        keys_of([], "0.0.0.0")
    with pytest.raises(ConfigError, match="the variable is not set; did you mean RAG_KEY"):
        keys_of(["RAG_KEYS"], "127.0.0.1")
    with pytest.raises(ConfigError, match="at least 16"):
        keys_of(["SHORT_KEY"], "127.0.0.1")
    with listening("127.0.0.1", 0) as taken, pytest.raises(UserError, match="name others by --host and --port"):
        listening("127.0.0.1", taken.getsockname()[1])


def test_the_command_serves_until_ctrl_c(make_run: MakeRun, upstream: OpenAIServer) -> None:
    upstream.behaviour.latency_s = 2.0
    run = make_run(BY_LLM.format(url=upstream.base_url), TRIALS)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "raytuner", "serve", str(run), "--port", str(port), "--api-key-env", "RAG_KEY"]
    environment = {**os.environ, "RAG_KEY": KEY}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stderr is not None
        while "Ctrl-C stops" not in (line := process.stderr.readline()):
            assert line, "it ended"
        found: list[Any] = []
        asking = threading.Thread(target=lambda: found.append(chat(f"http://127.0.0.1:{port}", key=KEY)))
        asking.start()
        wait_for(upstream)
        process.send_signal(signal.SIGINT)
        asking.join(20)
        assert found[0].choices[0].message.content == "Thirty days. A year.", "what was in flight is answered"
        rest = process.communicate(timeout=30)[1]
        assert process.returncode == 130
        assert "Traceback" not in rest
        assert KEY not in line + rest
    finally:
        process.kill()


def test_json_of_an_error_is_openais() -> None:
    from raytuner.serving.protocol import RequestError

    body = RequestError(429, "rate_limit_exceeded", "later").body
    assert json.loads(json.dumps(body))["error"]["type"] == "rate_limit_error"


def post(port: int, content: bytes, header: str = "") -> socket.socket:
    """A connection on which a request was begun."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    head = "POST /retrieve HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n"
    connection.sendall(f"{head}{header}\r\n".encode() + content)
    return connection


def test_slow_clients_take_no_place_and_are_let_go(make_run: MakeRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytuner.serving.gate.BODY_S", 1.5)
    with served(make_run(BM25, TRIALS), limits=Limits(at_once=1)) as url:
        slow = [post(int(url.rpartition(":")[2]), b"{") for _ in range(5)]
        assert httpx.post(f"{url}/retrieve", json={"question": QUESTION}).status_code == 200
        for connection in slow:
            assert b" 408 " in connection.recv(1000)
            connection.close()


def test_a_failure_is_one_line_without_keys(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: Any
) -> None:
    monkeypatch.setenv("SOME_API_KEY", KEY)

    def fail(*_: Any) -> None:
        raise ValueError(f"with\n{KEY}")

    async def broken(*_: Any) -> Any:
        yield "Half \ud83d"
        fail()

    with served(make_run(BM25, TRIALS)) as url:
        monkeypatch.setattr("raytuner.loaded.LoadedPipeline.aretrieve", fail)
        answer = httpx.post(f"{url}/retrieve", json={"question": QUESTION})
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
        monkeypatch.setattr("raytuner.loaded.LoadedPipeline.astream", broken)
        asked = {"model": "raytuner", "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
        events = httpx.post(f"{url}/v1/chat/completions", json=asked).text.split("\n\n")
    assert "Half \ufffd" in events[1]
    assert json.loads(events[2].removeprefix("data: "))["error"]["code"] == "internal_error"
    assert events[3] == "data: [DONE]"
    said = "".join(capfd.readouterr()) + caplog.text
    assert KEY not in said
    assert "Traceback" not in said
    assert said.count("a request failed: ValueError: with <SOME_API_KEY>") >= 2


def asgi(app: Any, path: str = "/v1/models", **given: Any) -> int:
    """The status of what an application answers."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    common = {"type": "http", "method": "GET", "query_string": b"", "headers": [(b"host", b"localhost")]}
    asyncio.run(app({**common, "path": path, "client": ("127.0.0.1", 1), **given}, receive, send))
    return int(sent[0]["status"])


def test_without_a_key_the_network_is_not_answered_whatever_it_says(make_run: MakeRun) -> None:
    pipeline = raytuner.load(make_run(BM25, TRIALS))
    app = make_app(pipeline)
    assert asgi(app) == asgi(app, client=("::1", 1)) == 200
    assert asgi(app, client=("192.0.2.1", 1)) == asgi(app, client=None) == 403
    keyed = make_app(pipeline, keys=(KEY,))
    assert asgi(keyed, client=("192.0.2.1", 1)) == 401
    assert asgi(keyed, "/rag/healthz", root_path="/rag", client=("192.0.2.1", 1)) == 200
    assert asgi(keyed, "/healthz", root_path="/") == 200
    assert asgi(keyed, "/rag/healthz") == 401


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n": 2}, "n: it is other than 1"),
        ({"n": 0}, "n: it is other than 1"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools: none are called"),
        ({"response_format": {"type": "json_object"}}, "response_format: answers are text"),
        ({"content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {}}]}, "only text is read"),
        ({"response_format": {"type": "text"}, "tools": [], "n": 1}, None),
    ],
)
def test_what_the_pipeline_does_not_do_is_refused(make_run: MakeRun, given: dict[str, Any], said: str | None) -> None:
    with served(make_run(BM25, TRIALS)) as url:
        if said is None:
            assert chat(url, extra_body=given).choices
            return
        content = given.pop("content", QUESTION)
        with pytest.raises(openai.BadRequestError, match=said):
            chat(url, content, extra_body=given)
