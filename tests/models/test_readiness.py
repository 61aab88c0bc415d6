"""Services are asked before the first trial, and none gets a key that is not for it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import openai
import pytest

from raytuner import models
from raytuner.errors import EndpointDownError, ModelError, TrialError
from raytuner.models import ModelSpec
from raytuner.models.spec import spec

SECRETS = {
    "OPENAI_API_KEY": "sk-users-own-key",
    "OPENAI_ADMIN_KEY": "sk-users-admin-key",
    "OPENAI_ORG_ID": "users-organisation",
    "OPENAI_PROJECT_ID": "users-project",
    "OPENAI_CUSTOM_HEADERS": "X-Gateway-Key: users-gateway-key",
}
ANSWER = {"role": "assistant", "content": "an answer"}
BODIES = {
    "/v1/models": {"object": "list", "data": [{"id": name, "object": "model"} for name in ("qwen", "glm:latest")]},
    "/v1/embeddings": {
        "object": "list",
        "model": "m",
        "data": [{"object": "embedding", "index": 0, "embedding": [1.0]}],
    },
    "/v1/chat/completions": {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": ANSWER}],
    },
}


class Server(ThreadingHTTPServer):
    status = 200
    key = "Bearer none"
    body: bytes | None = None
    listed: tuple[int, bytes] | None = None
    seen: list[dict[str, str]]
    asked: dict[str, Any]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append(dict(self.headers))
        sent = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.server.asked = json.loads(sent) if sent else {}
        status = self.server.status if self.headers["Authorization"] == self.server.key else 401
        known = {**BODIES[self.path], "model": self.server.asked.get("model")}
        body = json.dumps(known).encode() if self.server.body is None else self.server.body
        if self.server.listed is not None and self.path == "/v1/models":
            status, body = self.server.listed
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server(("127.0.0.1", 0), Handler)
    server.seen = []
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def served(server: Server, model: str = "openai-like:qwen", **settings: Any) -> ModelSpec:
    return spec("mine", {"mine": {"model": model, "base_url": f"http://127.0.0.1:{server.server_port}/v1", **settings}})


def test_a_service_that_has_the_model_is_ready(server: Server) -> None:
    models.prepare([served(server)], [served(server), served(server, "openai-like:glm")])
    assert models.required([served(server)], [served(server)]) == []


def test_a_missing_model_is_found_with_the_nearest_names(server: Server) -> None:
    with pytest.raises(ModelError, match=r"'mine': http://127.*/v1 has no 'qwem'; did you mean 'qwen'\? Valid:"):
        models.prepare([], [served(server, "openai-like:qwem")])


def test_a_wrong_key_names_its_variable(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "sk-wrong-0123456789")
    with pytest.raises(ModelError, match=r"refuses the key \(401\): correct the key in MINE") as caught:
        models.prepare([], [served(server, api_key_env="MINE")])
    assert "sk-wrong" not in str(caught.value)
    server.key = "Bearer sk-right"
    with pytest.raises(ModelError, match="name the variable of its key by api_key_env"):
        models.prepare([served(server)], [])
    monkeypatch.setenv("MINE", "sk-right")
    models.prepare([served(server, api_key_env="MINE")], [])


@pytest.mark.parametrize("path", ["complete", "acomplete", "get_query_embedding", "aget_query_embedding"])
def test_a_service_that_dies_is_named_with_its_address(server: Server, path: str) -> None:
    mine = served(server, retries=0)
    model = models.embedding(mine) if "embedding" in path else models.llm(mine)
    server.shutdown()
    server.server_close()
    words = rf"^model 'mine' at {mine.base_url} has not answered \(no connection\); start it, or correct its address$"
    with pytest.raises(EndpointDownError, match=words):
        asyncio.run(getattr(model, path)("text")) if path.startswith("a") else getattr(model, path)("text")


def test_whatever_a_service_answers_is_said_once_with_its_name(server: Server) -> None:
    model = models.llm(served(server, retries=0))
    for status, words in ((500, r"has not answered \(500\)"), (400, "refuses the request"), (403, "refuses all")):
        server.status = status
        for _ in range(2):
            with pytest.raises((EndpointDownError, TrialError), match=words) as caught:
                model.complete("question")
            assert str(caught.value).count("model 'mine' at http://127.0.0.1") == 1


def test_a_variable_that_is_called_nearly_the_same_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = spec(
        "mine", {"mine": {"model": "openai-like:m", "base_url": "http://127.0.0.1:9/v1", "api_key_env": "MY_KY"}}
    )
    monkeypatch.setenv("MY_KEY", "")
    assert models.required([], [mine])[0].reason == "MY_KY is not set"
    monkeypatch.setenv("MY_KEY", "sk-mine-0123456789")
    assert models.required([], [mine])[0].reason == "MY_KY is not set; did you mean MY_KEY, which is set?"
    with pytest.raises(ModelError, match=r"variable MY_KY; did you mean MY_KEY, which is set\?") as caught:
        models.prepare([], [mine])
    assert "sk-mine" not in str(caught.value)


def test_a_missing_key_is_found_before_anything_is_sent(server: Server) -> None:
    mine = served(server, api_key_env="MINE")
    assert models.required([], [mine]) == [("mine", "MINE is not set", "export MINE=...")]
    with pytest.raises(ModelError, match="'mine' needs a key: set the environment variable MINE"):
        models.prepare([], [mine])
    assert server.seen == []


STRANGE = [(404, b"{}"), (405, b""), (200, b"<html>"), (200, b"{}"), (200, b"[1]")]


@pytest.mark.parametrize("answer", STRANGE)
def test_a_service_without_a_list_is_ready(server: Server, answer: tuple[int, bytes]) -> None:
    server.listed = answer
    any_name = served(server, "openai-like:any")
    models.prepare([any_name], [any_name])
    assert len(server.seen) == 4  # the list, and then a vector or a word


@pytest.mark.parametrize("answer", STRANGE)
def test_what_is_no_service_of_models_is_found(server: Server, answer: tuple[int, bytes]) -> None:
    server.status, server.body = answer
    for models_asked in ([served(server)], []), ([], [served(server)]):
        with pytest.raises(ModelError, match=r"'mine': http://127.*/v1 does not answer as OpenAI's.*often ends in /v1"):
            models.prepare(*models_asked)


def test_a_service_that_refuses_a_question_only_is_ready(server: Server) -> None:
    server.status, server.listed = 429, (404, b"{}")
    models.prepare([], [served(server)])


def test_a_broken_service_is_found(server: Server) -> None:
    server.status = 503
    with pytest.raises(ModelError, match="answers 503"):
        models.prepare([], [served(server)])


def test_an_unreachable_service_is_found() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        lost = spec("mine", {"mine": {"model": "openai-like:qwen", "base_url": url}})
        with pytest.raises(ModelError, match=f"'mine': nothing answers at {url}: start the server"):
            models.prepare([], [lost])


@pytest.mark.parametrize("model", ["openai-like:qwen", "openai:qwen"])
def test_an_address_from_a_config_gets_nothing_of_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    mine = served(server, model)
    models.prepare([mine], [mine])
    assert models.llm(mine).complete("question").text == "an answer"
    assert models.embedding(mine).get_query_embedding("text") == [1.0]
    assert len(server.seen) == 4
    assert {headers["Authorization"] for headers in server.seen} == {"Bearer none"}
    assert "users-" not in json.dumps(server.seen)


def test_the_address_of_the_environment_gets_its_headers(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    server.key = "Bearer sk-users-own-key"
    models.prepare([], ["openai:qwen"])
    assert models.llm("openai:qwen").complete("question").text == "an answer"
    reads_headers = "OPENAI_CUSTOM_HEADERS" in Path(openai.__file__).with_name("_client.py").read_text(encoding="utf-8")
    expected = ["users-gateway-key"] * 2 if reads_headers else [None, None]  # older clients do not know the variable
    assert [headers.get("X-Gateway-Key") for headers in server.seen] == expected


def test_the_settings_of_the_config_are_used(server: Server) -> None:
    llm = models.llm(served(server, context_window=1234, max_tokens=77, timeout=3.0))
    assert (llm.metadata.context_window, llm.metadata.num_output, llm.timeout) == (1234, 77, 3.0)
    assert models.llm(served(server)).metadata.context_window == 3900
    assert models.llm(served(server, "openai:gpt-4o", context_window=99)).metadata.context_window == 99
