"""The gate of one endpoint: who may call it, and when."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from raytuner.calls.call import NO_CONNECTION, Call, Outcome, used
from raytuner.calls.limits import Limits, Window

DOWN_AFTER = 10
"""So many attempts in a row that fail, and the endpoint is taken to be down."""
PROBE_S = (0.5, 15.0)
"""While it is, one call is tried again and again: at first after so many seconds, at last after so many."""
SLACK_S = 30.0
"""A call that was not settled so long after its own timeout is lost with its process."""


@dataclass
class Waiting:
    """A call that waits for its turn.

    Attributes:
        call: The call.
        turn: Done when it may begin.
    """

    call: Call
    turn: asyncio.Future[None]


@dataclass
class Running:
    """A call in flight.

    Attributes:
        call: The call.
        entry: See `Window.add`.
        until: When it is lost.
    """

    call: Call
    entry: list[float]
    until: float


@dataclass
class Gate:
    """What is known of an endpoint.

    Attributes:
        limits: What all its calls together may use; the tightest that any call has named.
        waiting: In their order.
        running: By the calls' ids.
        closed_until: When the service wants to be asked again; answers to what was in flight do not change that.
        down_since: Since when it has not answered; None if it does.
        answers: How many calls it has answered.
        reason: What it failed with last.
    """

    limits: Limits
    waiting: deque[Waiting] = field(default_factory=deque)
    running: dict[str, Running] = field(default_factory=dict)
    closed_until: float = 0.0
    down_since: float | None = None
    answers: int = 0
    reason: str = ""
    _window: Window = field(default_factory=Window)
    _in_a_row: int = 0
    _failing_since: float = 0.0
    _probes: int = 0
    _probe_at: float = 0.0
    _abandoned: set[str] = field(default_factory=set)
    _began: dict[str, int] = field(default_factory=dict)  # request -> answers when its first attempt began

    def wait(self, call: Call, now: float) -> float | None:
        """Seconds until the next call may begin; None if that depends on calls in flight."""
        busy = 1 if self.down_since is not None else self.limits.concurrency
        if len(self.running) >= busy:
            return None
        open_at = max(self.closed_until, self._probe_at)
        return max(self._window.wait(self.limits, call.reserved_tokens, now), open_at - now, 0.0)

    def begin(self, call: Call, now: float) -> None:
        """A call begins."""
        self._began.setdefault(call.request, self.answers)
        self.running[call.id] = Running(
            call, self._window.add(call.reserved_tokens, now), now + call.timeout_s + SLACK_S
        )

    def end(self, call: Call, outcome: Outcome, now: float) -> bool:
        """A call has ended.

        Args:
            call: The call.
            outcome: How.
            now: Seconds of a monotonic clock.

        Returns:
            Whether the same request is to be made again. One that has been made often enough is not if others were
            answered meanwhile: then it is the request's fault, and not the endpoint's.
        """
        running = self.running.pop(call.id)
        self._window.settle(running.entry, used(call, outcome).tokens)
        if outcome.is_unknown:
            self._began.pop(call.request, None)
            return False
        if not outcome.is_passing:
            self._is_up()
            self._began.pop(call.request, None)
            return False
        began = self._began[call.request]
        if outcome.is_alive:
            self._is_up()
        else:
            self._failed(outcome, now)
        is_last = call.attempt > call.retries
        if call.request in self._abandoned or (is_last and self._is_its_own_fault(outcome, began)):
            self._abandoned.discard(call.request)
            del self._began[call.request]
            return False
        if is_last:
            self._is_down(now)
        return True

    def _is_its_own_fault(self, outcome: Outcome, began: int) -> bool:
        """Whether a request fails that others would not: the endpoint answers, or did so and may do so again."""
        if self.down_since is not None:
            return False
        is_there = self.answers > 0 and outcome.status != NO_CONNECTION and self._in_a_row < DOWN_AFTER
        return outcome.is_alive or self.answers > began or is_there

    def lost(self, now: float) -> list[Call]:
        """The calls that were never settled."""
        return [found.call for found in self.running.values() if found.until < now]

    def _failed(self, outcome: Outcome, now: float) -> None:
        self.reason = outcome.status
        if self._in_a_row == 0:
            self._failing_since = now
        self._in_a_row += 1
        if outcome.retry_after_s is not None:
            self.closed_until = max(self.closed_until, now + outcome.retry_after_s)
        if self._in_a_row >= DOWN_AFTER:
            self._is_down(now)
        if self.down_since is not None and not self.running:
            first, last = PROBE_S
            self._probe_at = now + min(first * 2**self._probes, last)
            self._probes += 1

    def give_up(self) -> None:
        """Forget that it is down; what is in flight is not made again."""
        self._abandoned |= {running.call.request for running in self.running.values()}
        self.closed_until = 0.0
        self._reset()

    def _reset(self) -> None:
        self._in_a_row = self._probes = 0
        self.down_since, self._probe_at = None, 0.0

    def _is_up(self) -> None:
        self.answers += 1
        self._reset()

    def _is_down(self, now: float) -> None:
        if self.down_since is None:
            self.down_since = self._failing_since or now
