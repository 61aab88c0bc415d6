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
from raytuner.testing import openai_batches
from raytuner.testing.openai_answers import ERRORS, completion, embeddings, pieces, prompt_of, tokens_of

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
        piece_s: How long each piece of an answer takes beside that, if it comes in pieces.
        share: The share of requests that go wrong, drawn by the seed, the request and how often it came.
        kinds: What can go wrong.
        in_a_row: So many times at the most for the same request, one after the other.
        script: What happens to the first requests, one by one, before `share` counts; None is an answer.
        seed: Of what goes wrong.
        retry_after_s: What ``429 retry-after`` says.
        hang_s: How long a hanging request is held before the connection is cut.
        down: Whether connections are closed without an answer.
        down_gets: Whether only what asks for batches and files is cut off.
        finish: Why an answer ends, as it is told.
        said: What an error says; by default what was scripted.
        reverses: Whether embeddings come in the reverse order of their texts.
        batch_s: How long a batch takes.
        batch_ends: The status that it ends with; requests of one that has not ``completed`` are not answered.
        answer: Gives the answer to a prompt, the messages joined by line ends.
    """

    latency_s: float = 0.0
    piece_s: float = 0.0
    share: float = 0.0
    kinds: Sequence[Fault] = PASSING
    in_a_row: int = 3
    script: list[Fault | None] = field(default_factory=list)
    seed: int = 0
    retry_after_s: float = 0.2
    hang_s: float = 30.0
    down: bool = False
    down_gets: bool = False
    finish: str = "stop"
    said: str | None = None
    reverses: bool = False
    batch_s: float = 0.0
    batch_ends: str = "completed"
    answer: Callable[[str], str] = words_of_the_context


class OpenAIServer:
    """Serves ``/v1/chat/completions``, ``/v1/embeddings`` and batches on loopback while it is entered.

    Args:
        behaviour: How; by default it answers everything at once.

    Attributes:
        behaviour: The same, to be changed.
        requests: What was received, in order.
        most_in_flight: The most requests that were there at the same time.
        batches: The batches that were made, by id.
        headers: Those of each request that posted something.
    """

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or Behaviour()
        self.requests: list[Record] = []
        self.most_in_flight = 0
        self.batches: dict[str, openai_batches.Batch] = {}
        self.files: dict[str, bytes] = {}
        self.headers: list[dict[str, str]] = []
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
            tokens = tokens_of(prompt) + tokens_of(reply)
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
        if self.owner.behaviour.down_gets:
            self._cut()
            return
        if "/batches/" in self.path or "/files/" in self.path:
            content, status = openai_batches.found(self.owner, self.path)
            self._send_bytes(content, status)
            return
        self._send({"error": {"message": "not found", "code": "not_found", "type": "not_found"}}, 400)

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        self.owner.headers.append(dict(self.headers))
        if self.path.endswith(("/files", "/batches")):
            self._send_bytes(openai_batches.made(self.owner, self.path, sent), 200)
            return
        body = json.loads(sent)
        if self.owner.behaviour.down:
            self._cut()
            return
        prompt = prompt_of(body)
        reply = "" if self.path.endswith("/embeddings") else self.owner.behaviour.answer(prompt)
        fault = self.owner.enter(body, prompt, reply)
        try:
            self._wait(fault)
        finally:  # before the client hears of it, who may send the next one at once
            self.owner.leave()
        self._respond(body, prompt, reply, fault)

    def _wait(self, fault: Fault | None) -> None:
        if fault == "hang":
            self._hang(self.owner.behaviour.hang_s)
        else:
            time.sleep(self.owner.behaviour.latency_s)

    def _respond(self, body: Mapping[str, Any], prompt: str, reply: str, fault: Fault | None) -> None:
        own = self.owner.behaviour
        if fault in ("hang", "cut"):
            self._cut(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{"id"')
        elif fault in ERRORS:
            status, code = ERRORS[fault]
            after = {"Retry-After": f"{own.retry_after_s:g}"} if fault == "429 retry-after" else {}
            said = own.said or f"scripted: {fault}"
            self._send({"error": {"message": said, "code": code, "type": code}}, status, after)
        else:
            embeds = self.path.endswith("/embeddings")
            found = embeddings(body) if embeds else completion(body, prompt, reply, fault=fault, finish=own.finish)
            if embeds and own.reverses:
                found["data"].reverse()
            if fault == "wrong model":
                found = completion({**body, "model": "some-other-model"}, prompt, "other words") if reply else found
                found["model"] = "some-other-model"
            if fault == "no usage":
                del found["usage"]
            if body.get("stream") and not embeds:
                self._stream(body, found, cut=fault == "truncated")
                return
            self._send(found, 200, cut=fault == "truncated")

    def _send(
        self, content: Mapping[str, Any], status: int, headers: Mapping[str, str] | None = None, cut: bool = False
    ) -> None:
        text = json.dumps(content).encode()
        self._send_bytes(text[: len(text) // 2] if cut else text, status, headers)

    def _stream(self, body: Mapping[str, Any], found: Mapping[str, Any], cut: bool) -> None:
        """Send an answer word by word; half of it, if the connection is to be cut."""
        events = pieces(body, found)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in events[: len(events) // 2] if cut else [*events, "[DONE]"]:
            self.wfile.write(f"data: {event}\n\n".encode())
            self.wfile.flush()
            time.sleep(self.owner.behaviour.piece_s)
        if cut:
            self._cut()
        self.close_connection = True

    def _send_bytes(self, text: bytes, status: int, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _hang(self, seconds: float) -> None:
        """Wait, but not for a client that has gone."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            readable, _, _ = select.select([self.connection], [], [], left)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                return

    def _cut(self, sent: bytes = b"") -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):  # the client may have gone
            self.wfile.write(sent)
            self.connection.shutdown(socket.SHUT_RDWR)
