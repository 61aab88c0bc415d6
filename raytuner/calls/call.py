"""One attempt to call a model, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from raytuner.calls.limits import Limits
from raytuner.calls.prices import Price

OK, CANCELLED, LOST, NO_CONNECTION = "ok", "cancelled", "lost", "no connection"


@dataclass(frozen=True)
class Call:
    """One attempt to call a model, before it is made.

    Attributes:
        id: Different for each attempt.
        request: The same for all attempts of one request.
        attempt: From 1.
        endpoint: The address.
        model: What the configuration calls the model.
        stage: What it is for, e.g. ``answers`` or ``embeddings``.
        trial: The number of the trial that asks; None outside of one.
        prompt_tokens: About how many tokens are sent.
        max_tokens: The most tokens of an answer; None is unknown.
        reserved_tokens: The most tokens that it may take in all, as far as is known.
        timeout_s: How long it may take.
        retries: How often the request may be made again.
        limits: What the model's entry allows.
        price: What its tokens cost; None is unknown.
    """

    id: str
    request: str
    attempt: int
    endpoint: str
    model: str
    stage: str
    trial: int | None
    prompt_tokens: int
    max_tokens: int | None
    reserved_tokens: int
    timeout_s: float
    retries: int
    limits: Limits
    price: Price | None

    @property
    def reserved_usd(self) -> float:
        """The most that it may cost; 0 if the price is unknown."""
        if self.price is None:
            return 0.0
        return self.price.of(self.reserved_tokens - (self.max_tokens or 0), self.max_tokens or 0)


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        status: ``ok``, or what went wrong, e.g. ``429``, ``cut`` or ``timeout``.
        seconds: How long it took.
        prompt_tokens: As the service counted them; None if it did not.
        completion_tokens: Likewise.
        answer_tokens: About how many tokens the answer has, to stand in for a missing count.
        is_paid: Whether it costs something. What was cut off may have been answered, and counts in full.
        is_passing: Whether the request can succeed if it is made again.
        retry_after_s: When the service wants to be asked again.
        is_alive: Whether the service answered at all, though with nothing that can be used.
        is_cut: Whether ``max_tokens`` cut the answer short, which is used as it is.
    """

    status: str
    seconds: float = 0.0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    answer_tokens: int | None = None
    is_paid: bool = True
    is_passing: bool = False
    retry_after_s: float | None = None
    is_alive: bool = False
    is_cut: bool = False

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known of it but that it was begun."""
        return self.status in (CANCELLED, LOST)


@dataclass(frozen=True)
class Used:
    """What an attempt took.

    Attributes:
        prompt_tokens: Counted or estimated.
        completion_tokens: Likewise.
        is_estimated: Whether the service did not count them.
        usd: What it cost; None if the price is unknown.
    """

    prompt_tokens: int
    completion_tokens: int
    is_estimated: bool
    usd: float | None

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.prompt_tokens + self.completion_tokens


def used(call: Call, outcome: Outcome) -> Used:
    """What an attempt took: as counted, else as estimated, else all that was reserved for it."""
    if not outcome.is_paid:
        return Used(0, 0, False, 0.0)
    counted = outcome.prompt_tokens, outcome.completion_tokens
    prompt, completion = counted
    if prompt is None and completion is None and outcome.answer_tokens is None:  # nobody knows what it took
        prompt = call.reserved_tokens - (call.max_tokens or 0)
    if prompt is None:
        prompt = call.prompt_tokens
    if completion is None:
        completion = (call.max_tokens or 0) if outcome.answer_tokens is None else outcome.answer_tokens
    usd = None if call.price is None else call.price.of(prompt, completion)
    return Used(prompt, completion, None in counted, usd)


def row(call: Call, outcome: Outcome, at: float) -> dict[str, Any]:
    """An attempt as it is logged; neither prompt nor answer is in it."""
    taken = used(call, outcome)
    return {
        "trial": call.trial,
        "stage": call.stage,
        "model": call.model,
        "endpoint": call.endpoint,
        "request": call.request,
        "attempt": call.attempt,
        "status": outcome.status,
        "prompt_tokens": taken.prompt_tokens,
        "completion_tokens": taken.completion_tokens,
        "estimated": taken.is_estimated,
        "usd": taken.usd,
        "cut": outcome.is_cut,
        "seconds": round(outcome.seconds, 4),
        "at": round(at, 4),
    }
