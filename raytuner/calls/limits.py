"""What an endpoint allows: so many calls at once, so many calls and tokens a minute."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

WINDOW_S = 60.5
"""A minute, and what requests may be late by: none of the service's own minutes holds too many."""

AT_ONCE = 32
"""Calls at once, where nothing else is said."""


@dataclass(frozen=True)
class Limits:
    """What all calls of an endpoint together may use.

    Attributes:
        concurrency: Calls at once.
        requests_per_minute: Calls in any minute; None is no limit.
        tokens_per_minute: Tokens of prompts and answers in any minute; None is no limit.
    """

    concurrency: int = AT_ONCE
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None

    def tighter(self, other: Limits) -> Limits:
        """What both allow, where two models of the same endpoint have different limits."""
        return Limits(
            min(self.concurrency, other.concurrency),
            _least(self.requests_per_minute, other.requests_per_minute),
            _least(self.tokens_per_minute, other.tokens_per_minute),
        )


def _least(one: int | None, other: int | None) -> int | None:
    known = [limit for limit in (one, other) if limit is not None]
    return min(known, default=None)


class Window:
    """The calls of the last minute."""

    def __init__(self) -> None:
        self._calls: deque[list[float]] = deque()  # when, and how many tokens
        self._tokens = 0.0

    def wait(self, limits: Limits, tokens: int, now: float) -> float:
        """Seconds until a call may begin; 0 if it may at once.

        Args:
            limits: What is allowed.
            tokens: Those of the call, at the most. More than are allowed in a minute wait for an empty minute.
            now: Seconds of a monotonic clock.
        """
        self._forget(now)
        count, total, free_at = len(self._calls), self._tokens, now
        for at, used in self._calls:
            if not self._is_too_much(limits, count, total, tokens):
                break
            count, total, free_at = count - 1, total - used, at + WINDOW_S
        return free_at - now

    def add(self, tokens: int, now: float) -> list[float]:
        """A call begins; what is returned is given to `settle` when it has ended."""
        entry = [now, float(tokens)]
        self._calls.append(entry)
        self._tokens += tokens
        return entry

    def settle(self, entry: list[float], tokens: int) -> None:
        """So many tokens it was in truth."""
        if entry in self._calls:
            self._tokens += tokens - entry[1]
        entry[1] = float(tokens)

    def _forget(self, now: float) -> None:
        while self._calls and self._calls[0][0] <= now - WINDOW_S:
            self._tokens -= self._calls.popleft()[1]

    @staticmethod
    def _is_too_much(limits: Limits, count: int, total: float, tokens: int) -> bool:
        too_many = limits.requests_per_minute is not None and count >= limits.requests_per_minute
        return count > 0 and (
            too_many or (limits.tokens_per_minute is not None and total + tokens > limits.tokens_per_minute)
        )
