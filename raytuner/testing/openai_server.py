"""A server that speaks OpenAI's protocol on this machine and misbehaves as it is told to."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal, get_args

from raytuner.models.mock import answer as words_of_the_context

Fault = Literal[
    "429",
    "429 retry-after",
    "500",
    "hang",
    "cut",
    "truncated",
    "wrong model",
    "no usage",
    "filtered",
    "overflow",
    "401",
]
FAULTS: tuple[Fault, ...] = get_args(Fault)
PASSING: tuple[Fault, ...] = ("429", "429 retry-after", "500", "hang", "cut", "truncated", "wrong model")
"""Those after which the same request, made again, can succeed."""

_DIMENSION = 8


@dataclass(frozen=True)
class Record:
    """One request that was received.

    Attributes:
        key: Equal for equal requests.
        model: The model that was asked for.
        fault: What went wrong on purpose; None if it was answered.
        at: When it came, in seconds since the server started.
        tokens: Of the prompt and the answer.
    """

    key: str
    model: str
    fault: Fault | None
    at: float
    tokens: int


@dataclass
class Behaviour:
    """How a server behaves; may be changed while it runs.

    Attributes:
        latency_s: How long each answer takes.
        share: The share of requests that go wrong, drawn by the seed, the request and how often it came.
        kinds: What can go wrong.
        in_a_row: So many times at the most for the same request, one after the other.
        script: What happens to the first requests, one by one, before `share` counts; None is an answer.
        seed: Of what goes wrong.
        retry_after_s: What ``429 retry-after`` says.
        hang_s: How long a hanging request is held before the connection is cut.
        down: Whether connections are closed without an answer.
        answer: Gives the answer to a prompt, the messages joined by line ends.
    """

    latency_s: float = 0.0
    share: float = 0.0
    kinds: Sequence[Fault] = PASSING
    in_a_row: int = 3
    script: list[Fault | None] = field(default_factory=list)
    seed: int = 0
    retry_after_s: float = 0.2
    hang_s: float = 30.0
    down: bool = False
    answer: Callable[[str], str] = words_of_the_context


class OpenAIServer:
    """Serves ``/v1/chat/completions`` and ``/v1/embeddings`` on loopback while it is entered.

    Args:
        behaviour: How; by default it answers everything at once.

    Attributes:
        behaviour: The same, to be changed.
        requests: What was received, in order.
        most_in_flight: The most requests that were there at the same time.
    """

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.requests: list[Record] = []
        self.most_in_flight = 0
        self._in_flight = 0
        self._times: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._server = _Listening(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> OpenAIServer:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def base_url(self) -> str:
        """The address, as a config has it."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def answered(self) -> Counter[str]:
        """How often each request was answered."""
        return Counter(found.key for found in self.requests if found.fault in (None, "no usage"))

    def enter(self, body: Mapping[str, Any], prompt: str, reply: str) -> Fault | None:
        """Take in a request; what goes wrong with it."""
        key = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:16]
        with self._lock:
            self._in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self._in_flight)
            fault = self._draw(key)
            tokens = _tokens(prompt) + _tokens(reply)
            at = time.monotonic() - self._started
            self.requests.append(Record(key, str(body.get("model")), fault, at, tokens))
        return fault

    def leave(self) -> None:
        """A request has gone."""
        with self._lock:
            self._in_flight -= 1

    def _draw(self, key: str) -> Fault | None:
        own = self.behaviour
        if own.script:
            return own.script.pop(0)
        self._times[key] += 1
        rng = random.Random(f"{own.seed} {key} {self._times[key]}")
        if rng.random() >= own.share or self._faults[key] >= own.in_a_row:
            self._faults[key] = 0
            return None
        self._faults[key] += 1
        return rng.choice(list(own.kinds))


class _Listening(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that were cut."""


class _Handler(BaseHTTPRequestHandler):
    """Answers one connection; `owner` says how."""

    owner: OpenAIServer
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, format: str, *args: Any) -> None:
        """Not to the terminal."""

    def do_GET(self) -> None:
        """It serves any model, and does not list them."""
        self._send({"error": {"message": "not found", "code": "not_found", "type": "not_found"}}, 400)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.owner.behaviour.down:
            self._cut()
            return
        prompt = _prompt(body)
        reply = "" if self.path.endswith("/embeddings") else self.owner.behaviour.answer(prompt)
        fault = self.owner.enter(body, prompt, reply)
        try:
            self._respond(body, prompt, reply, fault)
        finally:
            self.owner.leave()

    def _respond(self, body: Mapping[str, Any], prompt: str, reply: str, fault: Fault | None) -> None:
        own = self.owner.behaviour
        if fault == "hang":
            self._hang(own.hang_s)
        time.sleep(own.latency_s)
        if fault in ("hang", "cut"):
            self._cut(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{"id"')
        elif fault in _ERRORS:
            status, code = _ERRORS[fault]
            after = {"Retry-After": f"{own.retry_after_s:g}"} if fault == "429 retry-after" else {}
            self._send({"error": {"message": f"scripted: {fault}", "code": code, "type": code}}, status, after)
        else:
            embeds = self.path.endswith("/embeddings")
            found = _embeddings(body) if embeds else _completion(body, prompt, reply, filtered=fault == "filtered")
            if fault == "wrong model":
                found = _completion({**body, "model": "some-other-model"}, prompt, "other words") if reply else found
                found["model"] = "some-other-model"
            if fault == "no usage":
                del found["usage"]
            self._send(found, 200, cut=fault == "truncated")

    def _send(
        self, content: Mapping[str, Any], status: int, headers: Mapping[str, str] | None = None, cut: bool = False
    ) -> None:
        text = json.dumps(content).encode()
        text = text[: len(text) // 2] if cut else text
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _hang(self, seconds: float) -> None:
        """Wait, but not for a client that has gone."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            readable, _, _ = select.select([self.connection], [], [], 0.02)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                return

    def _cut(self, sent: bytes = b"") -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):  # the client may have gone
            self.wfile.write(sent)
            self.connection.shutdown(socket.SHUT_RDWR)


_ERRORS: Mapping[Fault | None, tuple[int, str]] = {
    "429": (429, "rate_limit_exceeded"),
    "429 retry-after": (429, "rate_limit_exceeded"),
    "500": (500, "server_error"),
    "overflow": (400, "context_length_exceeded"),
    "401": (401, "invalid_api_key"),
}


def _prompt(body: Mapping[str, Any]) -> str:
    if "messages" in body:
        return "\n".join(_text(message.get("content")) for message in body["messages"])
    given = body.get("input", "")
    return given if isinstance(given, str) else "\n".join(map(str, given))


def _text(content: Any) -> str:
    """The text of a message, which may be a list of parts."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content)
    return content or ""


def _tokens(text: str) -> int:
    return len(text.split())


def _completion(body: Mapping[str, Any], prompt: str, reply: str, *, filtered: bool = False) -> dict[str, Any]:
    message = {"role": "assistant", "content": "" if filtered else reply}
    reason = "content_filter" if filtered else "stop"
    used = (_tokens(prompt), _tokens(reply))
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": used[0], "completion_tokens": used[1], "total_tokens": sum(used)},
    }


def _embeddings(body: Mapping[str, Any]) -> dict[str, Any]:
    given = [body["input"]] if isinstance(body["input"], str) else body["input"]
    used = sum(_tokens(str(text)) for text in given)
    data = [{"object": "embedding", "index": at, "embedding": _vector(str(text))} for at, text in enumerate(given)]
    return {
        "object": "list",
        "model": body["model"],
        "data": data,
        "usage": {"prompt_tokens": used, "total_tokens": used},
    }


def _vector(text: str) -> list[float]:
    rng = random.Random(text)
    return [rng.gauss(0, 1) for _ in range(_DIMENSION)]
