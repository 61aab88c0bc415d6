"""Who may ask, and how much: keys, hosts, requests at once and a minute."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from raytuner.errors import redact
from raytuner.models.endpoint import is_loopback
from raytuner.serving.protocol import RequestError, as_json

logger = logging.getLogger("raytuner")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/healthz",)
"""What needs no key, and counts for no limit."""
MINUTE_S = 60.0
BODY_S = 10.0
"""So long the body of a request may take; only then it counts among those at once."""


@dataclass(frozen=True)
class Limits:
    """What a server takes on.

    Attributes:
        at_once: Requests at once.
        per_minute: Requests in any minute; None is no limit.
        body_bytes: The size of the body of a request.
    """

    at_once: int = 16
    per_minute: int | None = None
    body_bytes: int = 262_144


class Gate:
    """An ASGI application that lets requests through to another.

    Args:
        inner: The other.
        keys: Any of them opens; without any, only what is meant for this machine is answered.
        limits: What it takes on.
    """

    def __init__(self, inner: Application, keys: tuple[str, ...], limits: Limits) -> None:
        self._inner = inner
        self._keys = [key.encode() for key in keys]
        self._limits = limits
        self._running = 0
        self._last: deque[float] = deque()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        try:
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
            self._check_place(scope, headers)
            if scope["path"].removeprefix(scope.get("root_path", "").rstrip("/")) in OPEN:
                await self._answer(scope, receive, send)
                return
            self._check_key(headers)
            self._check_size(headers)
            body = await self._body(receive)
            self._check_rate()
        except RequestError as error:
            await refuse(error, send)
            return
        except ConnectionError:
            return
        self._running += 1
        try:
            await self._answer(scope, _again(body, receive), send)
        finally:
            self._running -= 1

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let it be answered; of a failure, which the client has been told of, the log has one line without keys."""
        try:
            await self._inner(scope, receive, send)
        except Exception as error:  # whatever goes wrong: a server would print all of it
            said = redact(" ".join(str(error).split()))
            logger.error("a request failed: %s: %s", type(error).__name__, said)

    async def _body(self, receive: Receive) -> bytes:
        """The body of a request, which a slow client may not hold back for long.

        Raises:
            RequestError: It takes too long, or is too large.
            ConnectionError: The client is gone.
        """
        try:
            return await asyncio.wait_for(self._received(receive), BODY_S)
        except asyncio.TimeoutError:
            raise RequestError(
                408, "request_timeout", f"the body took longer than {BODY_S:g} s; send it anew"
            ) from None

    async def _received(self, receive: Receive) -> bytes:
        content = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError
            content += message.get("body", b"")
            if len(content) > self._limits.body_bytes:
                raise too_large(self._limits)
            if not message.get("more_body", False):
                return bytes(content)

    def _check_place(self, scope: Scope, headers: dict[str, str]) -> None:
        """Without keys only this machine is answered, and no page in its browser, which may know a name of it."""
        if self._keys:
            return
        client = (scope.get("client") or ("",))[0]
        if not is_loopback(client):
            raise RequestError(403, "forbidden_client", "only this machine is answered; serve with a key")
        origin = headers.get("origin", "http://localhost")
        for name in (headers.get("host", ""), origin.rpartition("://")[2]):
            if not is_loopback(_without_port(name)):
                raise RequestError(403, "forbidden_host", f"{name[:100]!r} is not this machine; serve with a key")

    def _check_key(self, headers: dict[str, str]) -> None:
        if not self._keys:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        matches = [hmac.compare_digest(given.strip().encode("latin-1"), key) for key in self._keys]
        if scheme.lower() != "bearer" or not any(matches):
            said = "the API key is wrong" if given else "an API key is needed: Authorization: Bearer KEY"
            raise RequestError(401, "invalid_api_key", said, {"WWW-Authenticate": "Bearer"})

    def _check_size(self, headers: dict[str, str]) -> None:
        said = headers.get("content-length", "0")
        if not said.isdecimal() or int(said[:20]) > self._limits.body_bytes:
            raise too_large(self._limits)

    def _check_rate(self) -> None:
        now, own = time.monotonic(), self._limits
        while self._last and self._last[0] <= now - MINUTE_S:
            self._last.popleft()
        if self._running >= own.at_once:
            raise _later("too_many_at_once", f"{own.at_once} requests are answered at once; ask again later", 1)
        if own.per_minute is not None and len(self._last) >= own.per_minute:
            wait = int(self._last[0] + MINUTE_S - now) + 1
            raise _later("rate_limit_exceeded", f"{own.per_minute} requests a minute are answered", wait)
        if own.per_minute is not None:
            self._last.append(now)


def _again(body: bytes, receive: Receive) -> Receive:
    """What receives a body that was received before, and then what comes after it."""
    given = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> MutableMapping[str, Any]:
        return given.pop() if given else await receive()

    return again


async def refuse(error: RequestError, send: Send) -> None:
    """Answer with an error."""
    content = as_json(error.body)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(content)), **error.headers}
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": encoded})
    await send({"type": "http.response.body", "body": content})


def too_large(limits: Limits) -> RequestError:
    """The body is too large."""
    return RequestError(413, "request_too_large", f"a request has at most {limits.body_bytes:,} bytes")


def _later(code: str, message: str, seconds: int) -> RequestError:
    return RequestError(429, code, message, {"Retry-After": str(seconds)})


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
