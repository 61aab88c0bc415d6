"""The tokens of LLM calls, as the services count them."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Usage:
    """Tokens of the calls that were counted; None as long as no service has told any."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    _counted: list[Any] = field(default_factory=list)

    def add(self, raw: Any) -> None:
        """Add the tokens of a call, from the ``usage`` of what a service answered; once for the same answer.

        Some of LlamaIndex's methods hand on what another of them was answered, and both tell of it.
        """
        if any(raw is known for known in self._counted):
            return
        self._counted.append(raw)  # kept, so that no other gets its identity
        told = raw.get("usage") if isinstance(raw, dict) else getattr(raw, "usage", None)
        for name in ("prompt_tokens", "completion_tokens"):
            count = told.get(name) if isinstance(told, dict) else getattr(told, name, None)
            if isinstance(count, int):
                setattr(self, name, (getattr(self, name) or 0) + count)


_counting: ContextVar[Usage | None] = ContextVar("raytuner_usage", default=None)


@contextmanager
def counted() -> Iterator[Usage]:
    """Count the tokens of the LLM calls that are made meanwhile in this context, tasks that it starts included."""
    _listen()
    used = Usage()
    token = _counting.set(used)
    try:
        yield used
    finally:
        _counting.reset(token)


@functools.cache
def _listen() -> None:
    """Hear of every call of an LLM that LlamaIndex makes in this process."""
    from llama_index.core.instrumentation import get_dispatcher
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler
    from llama_index.core.instrumentation.events import BaseEvent
    from llama_index.core.instrumentation.events.llm import LLMChatEndEvent, LLMCompletionEndEvent

    class Listener(BaseEventHandler):  # type: ignore[misc]
        @classmethod
        def class_name(cls) -> str:
            return "raytuner"

        def handle(self, event: BaseEvent, **_: Any) -> None:
            used = _counting.get()
            if used is not None and isinstance(event, (LLMChatEndEvent, LLMCompletionEndEvent)):
                used.add(getattr(event.response, "raw", None))

    get_dispatcher().add_event_handler(Listener())
