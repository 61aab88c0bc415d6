"""OpenAI's Batch API: requests that may wait are collected, and answered together, within a day and for half the price.

https://platform.openai.com/docs/guides/batch
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai

logger = logging.getLogger("raytuner")

MOST = 50_000
"""Requests of one batch, by OpenAI's rule."""
MOST_BYTES = 190_000_000
"""Bytes of one batch; OpenAI takes 200 MB."""
QUIET_S = 1.0
"""A batch is made once no request has come for so long."""
POLL_S = (2.0, 60.0)
"""It is looked after so many seconds, twice as many each time, at last after so many."""
WITHIN_S = 24 * 3600.0
"""By when a batch is answered, or expires."""
MAX_OUTAGE_S = 300.0
"""So long nothing may be heard of a batch."""
ENDED = ("completed", "failed", "expired", "cancelled")


@dataclass(frozen=True)
class _Waiting:
    name: str
    url: str
    body: Mapping[str, Any]
    answer: asyncio.Future[dict[str, Any]]

    @property
    def line(self) -> bytes:
        whole = {"custom_id": self.name, "method": "POST", "url": f"/v1{self.url}", "body": self.body}
        return json.dumps(whole).encode() + b"\n"


class Batches:
    """Asks a service in batches.

    A batch that was made stays known in a folder until its answers are there: who asks the same again, after Ctrl-C or
    in another process, waits for that batch and does not make another. Of the requests only hashes are kept there.

    Args:
        client: A client that reaches the service directly. It belongs to one event loop.
        folder: Where the batches of all services are kept.
    """

    def __init__(self, client: openai.AsyncOpenAI, folder: Path) -> None:
        self._client = client
        self._known = _Known(folder / hashlib.sha256(str(client.base_url).encode()).hexdigest()[:16])
        self._waiting: list[_Waiting] = []
        self._open: set[str] = set()
        self._collecting: asyncio.Task[None] | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def ask(self, url: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request.

        Args:
            url: As the client has it, e.g. ``/chat/completions``.
            body: The request.

        Returns:
            The body of the answer.

        Raises:
            openai.APIError: The request, or its batch, failed; or the service cannot be reached.
        """
        content = hashlib.sha256(json.dumps([url, body], sort_keys=True).encode()).hexdigest()[:40]
        number = 1  # the same request made twice at the same time is to be answered twice
        while (name := f"{content}-{number}") in self._open:
            number += 1
        loop = asyncio.get_running_loop()
        waiting = _Waiting(name, url, body, loop.create_future())
        self._open.add(name)
        self._waiting.append(waiting)
        if self._collecting is None:
            self._collecting = loop.create_task(self._collect())
        try:
            return await waiting.answer
        finally:
            self._open.discard(name)

    async def _collect(self) -> None:
        count = 0
        while len(self._waiting) > count:
            count = len(self._waiting)
            await asyncio.sleep(QUIET_S)
        taken = [one for one in self._waiting if not one.answer.done()]
        self._waiting, self._collecting = [], None
        for batch, ones in self._known.shared(taken).items():
            self._start(self._answer(batch, ones))
        old = self._known.names()
        for part in _parts([one for one in taken if one.name not in old]):
            self._start(self._make(part))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)  # the loop itself would forget it
        task.add_done_callback(self._running.discard)

    async def _make(self, ones: Sequence[_Waiting]) -> None:
        try:
            content = b"".join(one.line for one in ones)
            sent = await self._client.files.create(file=("raytuner.jsonl", content), purpose="batch")
            batch = await self._client.batches.create(
                input_file_id=sent.id, endpoint="/v1/chat/completions", completion_window="24h"
            )
        except BaseException as error:
            _fail(ones, error)
            return
        try:
            self._known.add(batch.id, [one.name for one in ones])
        except OSError as error:
            logger.warning("a batch would not outlive this process: %s", error)
        logger.warning(
            "%d requests to %s in a batch: it may take up to a day; what is stopped meanwhile goes on from there",
            len(ones),
            self._client.base_url.host,
        )
        await self._answer(batch.id, ones)

    async def _answer(self, batch_id: str, ones: Sequence[_Waiting]) -> None:
        """Give each of some requests what a batch says to it."""
        try:
            batch = await self._ended(batch_id)
            said = {**await self._lines(batch.error_file_id), **await self._lines(batch.output_file_id)}
        except openai.NotFoundError as error:  # it was made with another key, or is long past
            self._known.forget(batch_id)
            _fail(ones, _error(429, "the batch is no longer there", "batch_gone", error.request))
            return
        except BaseException as error:
            _fail(ones, error)
            return
        self._known.forget(batch_id)
        for one in ones:
            if not one.answer.done():
                _settle(one.answer, said.get(one.name), batch)

    async def _ended(self, batch_id: str) -> Any:
        pause, heard = POLL_S[0], time.monotonic()
        while True:
            try:
                batch = await self._client.batches.retrieve(batch_id)
                heard = time.monotonic()
                if batch.status in ENDED:
                    return batch
            except (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError):
                if time.monotonic() - heard > MAX_OUTAGE_S:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, POLL_S[1])

    async def _lines(self, file: str | None) -> dict[str, dict[str, Any]]:
        if file is None:
            return {}
        content = await self._client.files.content(file)
        return {line["custom_id"]: line for line in map(json.loads, filter(None, content.text.split("\n")))}


_shared: dict[tuple[asyncio.AbstractEventLoop, str, str], Batches] = {}


def batches(client: openai.AsyncOpenAI, folder: Path, retries: int) -> Batches:
    """The batches of a service, for all clients of the running event loop with the same key.

    Args:
        client: One of them.
        folder: See `Batches`.
        retries: How often a request about a batch is made again.
    """
    loop = asyncio.get_running_loop()
    for known in [known for known in _shared if known[0].is_closed()]:
        del _shared[known]
    key = (loop, str(client.base_url), client.api_key)
    if key not in _shared:
        own = client.copy(max_retries=retries)
        # Its constructor has taken names and headers from the environment again, which may be for another address.
        own.organization, own.project = client.organization, client.project
        own._custom_headers = client._custom_headers
        _shared[key] = Batches(own, folder)
    return _shared[key]


class _Known:
    """The batches of a service that are not yet answered, one small file each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, batch: str, names: Sequence[str]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(batch)
        path.with_suffix(".new").write_text(json.dumps({"batch": batch, "at": time.time(), "requests": list(names)}))
        path.with_suffix(".new").replace(path)

    def forget(self, batch: str) -> None:
        with contextlib.suppress(OSError):
            self._path(batch).unlink()

    def names(self) -> set[str]:
        """All requests of them."""
        return {name for found in self._all().values() for name in found}

    def shared(self, ones: Iterable[_Waiting]) -> dict[str, list[_Waiting]]:
        """The batches that hold some of these requests, and which."""
        by_name = {one.name: one for one in ones}
        found = {batch: [by_name[name] for name in names if name in by_name] for batch, names in self._all().items()}
        return {batch: those for batch, those in found.items() if those}

    def _all(self) -> dict[str, list[str]]:
        found = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                told = json.loads(path.read_text())
                if time.time() - told["at"] < 2 * WITHIN_S:
                    found[str(told["batch"])] = [str(name) for name in told["requests"]]
            except (OSError, ValueError, TypeError, KeyError):  # it is taken away at this moment, or damaged
                continue
        return found

    def _path(self, batch: str) -> Path:
        return self._folder / f"{hashlib.sha256(batch.encode()).hexdigest()[:32]}.json"


def _parts(ones: Sequence[_Waiting]) -> list[list[_Waiting]]:
    """As few batches as OpenAI's rules allow."""
    parts: list[list[_Waiting]] = []
    size = 0
    for one in ones:
        length = len(one.line)
        if not parts or len(parts[-1]) >= MOST or size + length > MOST_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(one)
        size += length
    return parts


def _settle(answer: asyncio.Future[dict[str, Any]], line: Mapping[str, Any] | None, batch: Any) -> None:
    response = (line or {}).get("response") or {}
    body, status = response.get("body"), response.get("status_code")
    if status == 200 and isinstance(body, dict):
        answer.set_result(body)
        return
    told = (body or {}).get("error") if isinstance(body, dict) else (line or {}).get("error")
    told = told or _first(getattr(batch.errors, "data", None)) or {"message": f"the batch has {batch.status}"}
    message, code = str(told.get("message")), str(told.get("code") or "")
    if not status:  # the batch as a whole: what may pass is tried again, in another one
        status = 429 if batch.status in ("expired", "completed") or "limit" in code else 400
    answer.set_exception(_error(status, message, code))


def _first(errors: Sequence[Any] | None) -> dict[str, Any] | None:
    return {"message": errors[0].message, "code": errors[0].code} if errors else None


def _error(status: int, message: str, code: str, request: httpx.Request | None = None) -> openai.APIStatusError:
    asked = request or httpx.Request("POST", "https://batch")
    body = {"message": message, "code": code}
    return openai.APIStatusError(message, response=httpx.Response(status, request=asked), body=body)


def _fail(ones: Sequence[_Waiting], error: BaseException) -> None:
    for one in ones:
        if isinstance(error, asyncio.CancelledError):
            one.answer.cancel()
        elif not one.answer.done():
            one.answer.set_exception(error)
