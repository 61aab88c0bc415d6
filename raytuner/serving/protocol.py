"""What is asked and answered, in OpenAI's forms; ``sources`` and ``took`` are raytuner's own."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from raytuner.loaded import Reply
from raytuner.retrieved import Retrieved

DONE = "data: [DONE]\n\n"
"""The last event of a stream."""


class RequestError(Exception):
    """A request that is refused.

    Args:
        status: Of HTTP.
        code: OpenAI's name of what is wrong.
        message: What is wrong, and what to do.
        headers: Further ones of the answer.
    """

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers or {}

    @property
    def body(self) -> dict[str, Any]:
        """The error in OpenAI's form."""
        kind = "invalid_request_error" if self.status < 500 and self.status != 429 else "server_error"
        kind = "rate_limit_error" if self.status == 429 else kind
        return {"error": {"message": str(self), "type": kind, "param": None, "code": self.code}}


class Part(BaseModel):
    """A part of a message."""

    type: str
    text: str = ""


class Message(BaseModel):
    """A message of a conversation."""

    role: str
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """Its text."""
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.type == "text")
        return self.content or ""


class StreamOptions(BaseModel):
    """What a stream tells."""

    include_usage: bool | None = None


class ResponseFormat(BaseModel):
    """The form of an answer."""

    type: str


TEXT = ResponseFormat(type="text")


class ChatRequest(BaseModel):
    """A request for an answer; what it says of sampling is not heeded, the pipeline has its own."""

    model: str
    messages: list[Message] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: ResponseFormat | None = None

    def check(self) -> None:
        """Refuse what the pipeline does not do, rather than to answer something else.

        Raises:
            RequestError: With the field.
        """
        asked = self._asked.content if self._asked is not None else None
        kinds = {part.type for part in asked} if isinstance(asked, list) else set()
        refused = {
            "n": self.n not in (None, 1) and "it is other than 1; one answer is given",
            "tools": (self.tools or self.functions) and "none are called; leave them out",
            "response_format": (self.response_format or TEXT).type != "text" and "answers are text; leave it out",
            "messages": kinds - {"text"} and "only text is read; leave out images, sounds and files",
        }
        for field, why in refused.items():
            if why:
                raise RequestError(400, "unsupported_value", f"{field}: {why}")

    @property
    def question(self) -> str:
        """The last message of the user."""
        return "" if self._asked is None else self._asked.text

    @property
    def _asked(self) -> Message | None:
        return next((message for message in reversed(self.messages) if message.role == "user"), None)

    @property
    def wants_usage(self) -> bool:
        """Whether a stream is to tell the tokens."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class RetrieveRequest(BaseModel):
    """A request for what is found for a question."""

    question: str


def explained(error: ValidationError) -> RequestError:
    """What is wrong with the body of a request."""
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the body"
    return RequestError(400, "invalid_request", f"{where[:100]}: {first['msg']}")


def source(one: Retrieved) -> dict[str, Any]:
    """A source of an answer; not the file it was read from, whose path is nobody's business."""
    found = asdict(one)
    del found["source"]
    return {**found, "citation": one.citation}


class Completion:
    """One answer, whole or in pieces.

    Args:
        model: The name under which the pipeline is served.
    """

    def __init__(self, model: str) -> None:
        self._common = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, reply: Reply) -> dict[str, Any]:
        """The answer as one object."""
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": reply.text, "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
        return {
            **self._common,
            "object": "chat.completion",
            "choices": [choice],
            "usage": _usage(reply),
            **_own(reply),
        }

    def first(self) -> str:
        """The event that says who speaks."""
        return self._event({"role": "assistant", "content": ""})

    def piece(self, text: str) -> str:
        """The event of a piece of the answer."""
        return self._event({"content": text})

    def last(self, reply: Reply, usage: bool) -> str:
        """The events after the last piece; the first of them has the sources."""
        told = self._text({"choices": [], "usage": _usage(reply)}) if usage else ""
        return f"{self._event({}, 'stop', **_own(reply))}{told}{DONE}"

    def _event(self, delta: dict[str, str], finish: str | None = None, **own: Any) -> str:
        return self._text({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **own})

    def _text(self, content: dict[str, Any]) -> str:
        return event({**self._common, "object": "chat.completion.chunk", **content})


def event(content: dict[str, Any]) -> str:
    """An event of a stream."""
    return f"data: {as_json(content).decode()}\n\n"


def as_json(content: Any) -> bytes:
    """Content as JSON in UTF-8; half a surrogate pair, which that cannot hold, becomes U+FFFD."""
    text = json.dumps(content, ensure_ascii=False)
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()


def _usage(reply: Reply) -> dict[str, int]:
    prompt, completion = reply.prompt_tokens or 0, reply.completion_tokens or 0
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _own(reply: Reply) -> dict[str, Any]:
    return {"sources": list(map(source, reply.sources)), "took": {"seconds": reply.seconds, "usd": reply.usd}}
