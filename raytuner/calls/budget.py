"""What a search may use up in calls: never more, whatever is in flight."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from raytuner.calls.call import Call, Used


@dataclass(frozen=True)
class Budget:
    """What may be used up; None is no limit.

    Attributes:
        usd: US dollars.
        tokens: Of prompts and answers, embedded texts included.
        llm_calls: Attempts of calls that are not embeddings.
        deadline: When no call begins any more, in seconds since the epoch.
    """

    usd: float | None = None
    tokens: int | None = None
    llm_calls: int | None = None
    deadline: float | None = None


EMBEDDINGS = "embeddings"
"""The stage of calls that are not of an LLM."""


@dataclass
class Spending:
    """What was used, and what is reserved for calls in flight.

    Attributes:
        budget: What may be used.
    """

    budget: Budget
    usd: float = 0.0
    tokens: int = 0
    llm_calls: int = 0
    _reserved: dict[str, Call] = field(default_factory=dict)

    def excess(self, call: Call) -> str | None:
        """Which part of the budget a call could exceed, given what is reserved; None if it fits."""
        others = self._reserved.values()
        usd = self.usd + math.fsum(other.reserved_usd for other in others) + call.reserved_usd
        tokens = self.tokens + sum(other.reserved_tokens for other in others) + call.reserved_tokens
        calls = self.llm_calls + sum(map(_is_llm, others)) + _is_llm(call)
        own = self.budget
        if own.usd is not None and usd > own.usd:
            return f"{own.usd:g} USD"
        if own.tokens is not None and tokens > own.tokens:
            return f"{own.tokens:,} tokens"
        if own.llm_calls is not None and calls > own.llm_calls:
            return f"{own.llm_calls:,} LLM calls"
        return None

    @property
    def has_reserved(self) -> bool:
        """Whether calls are in flight, which may turn out to take less than is reserved for them."""
        return bool(self._reserved)

    def reserve(self, call: Call) -> None:
        """A call begins."""
        self._reserved[call.id] = call

    def settle(self, call: Call, taken: Used) -> None:
        """A call has ended."""
        del self._reserved[call.id]
        self.usd += taken.usd or 0.0
        self.tokens += taken.tokens
        self.llm_calls += _is_llm(call)


def _is_llm(call: Call) -> bool:
    return call.stage != EMBEDDINGS
