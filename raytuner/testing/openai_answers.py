"""What a server that speaks OpenAI's protocol sends."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from typing import Any

_DIMENSION = 8

ERRORS: Mapping[str | None, tuple[int, str]] = {
    "429": (429, "rate_limit_exceeded"),
    "429 retry-after": (429, "rate_limit_exceeded"),
    "500": (500, "server_error"),
    "overflow": (400, "context_length_exceeded"),
    "401": (401, "invalid_api_key"),
}


def prompt_of(body: Mapping[str, Any]) -> str:
    """The texts of a request, joined by line ends."""
    if "messages" in body:
        return "\n".join(_text(message.get("content")) for message in body["messages"])
    given = body.get("input", "")
    return given if isinstance(given, str) else "\n".join(map(str, given))


def _text(content: Any) -> str:
    """The text of a message, which may be a list of parts."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content)
    return content or ""


def tokens_of(text: str) -> int:
    """So many words."""
    return len(text.split())


def completion(
    body: Mapping[str, Any], prompt: str, reply: str, *, fault: str | None = None, finish: str = "stop"
) -> dict[str, Any]:
    """An answer."""
    message = {"role": "assistant", "content": "" if fault == "filtered" else reply}
    reason = "content_filter" if fault == "filtered" else finish
    used = (tokens_of(prompt), tokens_of(reply))
    return {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": used[0], "completion_tokens": used[1], "total_tokens": sum(used)},
    }


def pieces(body: Mapping[str, Any], whole: Mapping[str, Any]) -> list[str]:
    """An answer as the events of a stream, word by word, with what it took at the end if that is asked for."""
    common = {**whole, "object": "chat.completion.chunk"}
    usage = common.pop("usage", None)
    [choice] = whole["choices"]
    words = re.findall(r"\s*\S+", choice["message"]["content"])
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}, *({"content": word} for word in words)]
    found = [{**common, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    found.append({**common, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    if usage is not None and (body.get("stream_options") or {}).get("include_usage"):
        found.append({**common, "choices": [], "usage": usage})
    return [json.dumps(event) for event in found]


def embeddings(body: Mapping[str, Any]) -> dict[str, Any]:
    """Random vectors, the same for the same text."""
    given = [body["input"]] if isinstance(body["input"], str) else body["input"]
    used = sum(tokens_of(str(text)) for text in given)
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
