"""One request to a service, attempt by attempt: what it may take, how it ended, and whether it is made again."""

from __future__ import annotations

import asyncio
import email.utils
import math
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import openai

from raytuner.calls import context
from raytuner.calls.batch import MAX_OUTAGE_S, MOST, WITHIN_S
from raytuner.calls.budget import EMBEDDINGS
from raytuner.calls.call import CANCELLED, NO_CONNECTION, OK, Call, Outcome
from raytuner.calls.limits import Limits
from raytuner.calls.prices import Price, is_dated
from raytuner.errors import EndpointDownError, TrialError, redact

RETRIES = 5
BACKOFF_S = (0.5, 20.0)
"""A request is made again after so many seconds, twice as many each time, at last after so many."""
SAFETY = 1.5
"""Tokens are counted by one tokenizer for all models; with others a text may have so many times as many."""
EACH_MESSAGE = 8
"""So many tokens a message has beside its text, at the most."""
TEMPLATE = 64
"""A service may put so many tokens of its own around a conversation."""
REFUSED = (401, 403, 404)
WHOLE = ("judge", "generation")
"""Stages in which half an answer is none."""
PASSING = (408, 409, 425, 429)
OTHER_MODELS = 5
"""So many answers to a request by the same other model, and none yet by the right one: the service calls it so."""


@dataclass(frozen=True)
class Service:
    """What a client needs to know of the model that it is for.

    Attributes:
        name: What the configuration calls it.
        served_name: What its service calls it.
        endpoint: The address, without credentials.
        limits: What all its calls may use.
        price: What its tokens cost; None is unknown.
        retries: How often a request may be made again.
        timeout_s: How long a call may take.
        checks_model: Whether an answer by another model is a fault.
        count: Counts the tokens of a text.
        batch_price: What its tokens cost in a batch; None is unknown.
        batches: Where batches are kept; None if it is not asked in batches.
    """

    name: str
    served_name: str
    endpoint: str
    limits: Limits
    price: Price | None
    retries: int
    timeout_s: float
    checks_model: bool
    count: Callable[[str], int]
    batch_price: Price | None = None
    batches: Path | None = None

    def in_batches(self) -> Service:
        """The same for requests that are answered in batches: other limits, another price, and much later."""
        limits = Limits(concurrency=MOST)
        name, timeout_s = f"{self.endpoint} (batches)", WITHIN_S + 2 * MAX_OUTAGE_S
        return replace(self, endpoint=name, limits=limits, price=self.batch_price, timeout_s=timeout_s)


class Request:
    """One request of a client, attempt by attempt.

    Args:
        service: The model.
        options: What the client sends.
    """

    def __init__(self, service: Service, options: Any) -> None:
        self._service = service
        body = options.json_data if isinstance(options.json_data, Mapping) else {}
        texts = list(_texts(body))
        most = body.get("max_completion_tokens") or body.get("max_tokens")
        self._max_tokens: int | None = most if "messages" in body else 0
        counted = sum(map(service.count, texts))
        self._prompt_tokens = counted + (EACH_MESSAGE * len(texts) if "messages" in body else 0)
        # No tokenizer makes more tokens of a text than it has bytes.
        upper = min(int(SAFETY * counted), sum(len(text.encode()) for text in texts)) + EACH_MESSAGE * len(texts)
        upper += TEMPLATE if "messages" in body else 0
        self._reserved = upper + (self._max_tokens or 0)
        self._stage = context.stage() if "messages" in body else EMBEDDINGS
        self._is_whole = self._stage in WHOLE
        self._id = uuid.uuid4().hex[:12]
        self._attempt = 0
        self._started = 0.0
        self._others: list[str] = []  # models that have answered in place of the right one

    def next_call(self) -> Call:
        """The next attempt."""
        own = self._service
        self._attempt += 1
        self._started = 0.0
        return Call(
            id=f"{self._id}-{self._attempt}",
            request=self._id,
            attempt=self._attempt,
            endpoint=own.endpoint,
            model=own.name,
            stage=self._stage,
            trial=context.trial(),
            prompt_tokens=self._prompt_tokens,
            max_tokens=self._max_tokens,
            reserved_tokens=self._reserved,
            timeout_s=own.timeout_s,
            retries=own.retries,
            limits=own.limits,
            price=own.price,
        )

    def begun(self) -> None:
        """The attempt may be made now."""
        self._started = time.perf_counter()

    def pause_s(self) -> float:
        """How long to wait before the next attempt; what the service asks for is the gate's affair."""
        first, last = BACKOFF_S
        doubled = min(first * 2.0 ** (self._attempt - 1), last)
        return doubled * random.uniform(0.5, 1.0)  # so that many do not come back at once

    def answered(self, found: Any) -> tuple[Outcome, BaseException | None]:
        """How an attempt ended that was answered, and what is wrong with the answer."""
        try:
            return self._judged(found)
        except Exception as error:  # a service may send anything in the form of an answer
            outcome = Outcome("malformed", self._seconds, answer_tokens=0)
            return self._bad(outcome, "malformed", f"answered in another form ({type(error).__name__})")

    def _judged(self, found: Any) -> tuple[Outcome, BaseException | None]:
        usage = getattr(found, "usage", None)
        choices = getattr(found, "choices", None)
        text = "".join((choice.message.content or "") for choice in choices or ())
        outcome = Outcome(
            OK,
            self._seconds,
            _count(getattr(usage, "prompt_tokens", None)),
            _count(getattr(usage, "completion_tokens", None if choices is not None else 0)),
            self._service.count(text),
        )
        if choices is None and getattr(found, "data", None) is None:
            return self._bad(outcome, "no answer", f"answered with a {type(found).__name__} and not with JSON")
        if choices == []:
            return self._bad(outcome, "no answer", "answered without choices")
        model = getattr(found, "model", None)
        if choices is None:
            _put_in_order(found.data)
        if self._service.checks_model and not self._is_right(model):
            return self._bad(outcome, "other model", f"answered as {str(model)[:60]!r}")
        if any(choice.finish_reason == "content_filter" for choice in choices or ()):
            return replace(outcome, status="filtered"), TrialError(
                f"{self._who}: the content filter held the answer back"
            )
        if any(choice.finish_reason == "length" for choice in choices or ()) and (not text or self._is_whole):
            return replace(outcome, status="cut short"), TrialError(f"{self._who}: max_tokens cut the answer short")
        is_cut = any(choice.finish_reason == "length" for choice in choices or ())
        return replace(outcome, is_cut=is_cut), None

    def streamed(self, text: str, usage: Any, finish: str | None) -> tuple[Outcome, BaseException | None]:
        """How an attempt ended whose answer came piece by piece, and what is wrong with the answer.

        Args:
            text: The whole answer.
            usage: What the service said of tokens; None if it did not.
            finish: Why the answer ended, as the service said; None if it broke off.
        """
        prompt, answer = (_count(getattr(usage, name, None)) for name in ("prompt_tokens", "completion_tokens"))
        outcome = Outcome(OK, self._seconds, prompt, answer, self._service.count(text), is_cut=finish == "length")
        if finish is None:
            return replace(outcome, status="cut"), TrialError(f"{self._who}: the answer broke off")
        if finish == "content_filter":
            said = f"{self._who}: the content filter held the answer back"
            return replace(outcome, status="filtered"), TrialError(said)
        return outcome, None

    def failed(self, error: BaseException) -> tuple[Outcome, BaseException]:
        """How an attempt ended that was not answered, and what is raised if it was the last one."""
        if not isinstance(error, Exception):
            return Outcome(CANCELLED, self._seconds), error
        if isinstance(error, openai.APIStatusError):
            return self._refused(error)
        problem = TrialError(f"{self._who}: {_short(str(error)) or type(error).__name__}")
        if isinstance(error, (openai.APIConnectionError, asyncio.TimeoutError, TimeoutError)):
            status, is_paid = _lost(error)
            return Outcome(status, self._seconds, is_paid=is_paid, is_passing=True), problem
        status = "no JSON" if isinstance(error, ValueError) else "error"
        return Outcome(status, self._seconds, is_passing=True, is_alive=True), problem

    def _refused(self, error: openai.APIStatusError) -> tuple[Outcome, Exception]:
        code, status = str(getattr(error, "code", "") or ""), error.status_code
        said = _short(str(error.message))
        refused = Outcome(str(status), self._seconds, is_paid=False)
        if status in REFUSED or code == "insufficient_quota":
            return refused, EndpointDownError(f"{self._who} refuses all requests ({status}): {said}")
        if status in PASSING or status >= 500:
            later = replace(refused, is_passing=True, retry_after_s=_retry_after(error.response.headers))
            return later, TrialError(f"{self._who}: {said}")
        return refused, TrialError(f"{self._who} refuses the request ({code or status}): {said}")

    def _is_right(self, model: str | None) -> bool:
        """Whether an answer is by the model that was asked for; its service may call it otherwise."""
        asked = self._service.served_name
        names = _names.setdefault((self._service.endpoint, asked), set())
        if model is None or is_dated(model, asked) or asked.endswith(model) or model[: len(asked) + 1] == f"{asked}:":
            names.add(asked)
            return True
        self._others.append(model)
        if not names and self._others[-OTHER_MODELS:] == [model] * OTHER_MODELS:
            names.add(model)
        return model in names

    def _bad(self, outcome: Outcome, status: str, said: str) -> tuple[Outcome, Exception]:
        return replace(outcome, status=status, is_passing=True, is_alive=True), TrialError(f"{self._who} {said}")

    @property
    def _who(self) -> str:
        return f"model {self._service.name!r} at {self._service.endpoint}"

    @property
    def _seconds(self) -> float:
        return time.perf_counter() - self._started if self._started else 0.0


_names: dict[tuple[str, str], set[str]] = {}
"""How an endpoint calls a model that is asked for."""


def _short(said: str) -> str:
    """What a service said, in a line; it may have quoted the key, of which no part is to be left."""
    return redact(" ".join(said.split()))[:200]


def _lost(error: BaseException) -> tuple[str, bool]:
    """How a request was lost that has no answer, and whether it may have reached its service, and costs something.

    aiohttp's own errors come first: translated to those of httpx, all of its connections' errors are timeouts.
    """
    causes = [error, error.__cause__, getattr(error.__cause__, "__cause__", None)]

    def is_any(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if is_any(aiohttp.ClientConnectorError, httpx.ConnectError):
        return NO_CONNECTION, False
    if is_any(aiohttp.ConnectionTimeoutError):
        return "timeout", False
    if is_any(aiohttp.ServerTimeoutError):
        return "timeout", True
    if is_any(aiohttp.ClientError):
        return "cut", True
    if is_any(httpx.ConnectTimeout, httpx.PoolTimeout):
        return "timeout", False
    return ("timeout" if is_any(TimeoutError, asyncio.TimeoutError, openai.APITimeoutError) else "cut"), True


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    """The texts that a request sends."""
    for message in body.get("messages") or ():
        content = message.get("content")
        yield content if isinstance(content, str) else str(content or "")
    given = body.get("input") or ()
    yield from [given] if isinstance(given, str) else map(str, given)


def _put_in_order(data: Any) -> None:
    """Embeddings in the order of their texts; a service may send them in another one, and says which is whose."""
    if isinstance(data, list) and all(type(getattr(one, "index", None)) is int for one in data):
        data.sort(key=lambda one: one.index)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """When a service wants to be asked again, in seconds; ``Retry-After`` is a number of seconds or a date."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    given = headers.get("retry-after")
    if (seconds := _number(given)) is not None or given is None:
        return seconds
    parsed = email.utils.parsedate_tz(given)
    try:
        return None if parsed is None else max(0.0, email.utils.mktime_tz(parsed) - time.time())
    except (ValueError, OverflowError):  # no such year
        return None


def _count(told: Any) -> int | None:
    """A number of tokens, if it is one."""
    return told if type(told) is int and told >= 0 else None


def _number(text: str | None) -> float | None:
    try:
        found = float(text or "")
    except ValueError:
        return None
    return found if 0 <= found < math.inf else None
