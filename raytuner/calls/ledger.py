"""The one place through which all calls of a search go: it lets them begin, and keeps account of them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from raytuner.calls.budget import Budget, Spending
from raytuner.calls.call import CANCELLED, LOST, Call, Outcome, row, used
from raytuner.calls.gate import Gate, Waiting
from raytuner.errors import BudgetUsedUpError, EndpointDownError

MAX_OUTAGE_S = 300.0
"""An endpoint that is down for longer ends the search."""
LONG_S = 30.0
"""A wait that a service asks for, and that is spoken of."""


class Ledger:
    """Lets calls begin within limits and budget, and keeps account of them.

    All of it runs on one event loop.

    Args:
        budget: What may be used up.
        max_outage_s: So long an endpoint may be down before the search ends.
        spent: What was spent before: dollars, tokens and calls of LLMs.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        max_outage_s: float = MAX_OUTAGE_S,
        spent: tuple[float, int, int] = (0.0, 0, 0),
    ) -> None:
        self._spending = Spending(budget or Budget(), *spent)
        self._max_outage_s = max_outage_s
        self._gates: dict[str, Gate] = {}
        self._rows: list[dict[str, Any]] = []
        self._forgotten = 0
        self._notes: list[str] = []
        self._ended: str | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def begin(self, call: Call) -> None:
        """Wait until a call may begin.

        Raises:
            BudgetUsedUpError: It could exceed the budget.
            EndpointDownError: Its endpoint has been down for too long.
        """
        gate = self._gate(call)
        turn = Waiting(call, asyncio.get_running_loop().create_future())
        gate.waiting.append(turn)
        self._pump(call.endpoint)
        try:
            await turn.turn
        except asyncio.CancelledError:
            self.leave(call)
            raise

    def end(self, call: Call, outcome: Outcome) -> bool:
        """A call has ended.

        Returns:
            Whether the same request is to be made again.
        """
        gate = self._gate(call)
        if call.id not in gate.running:  # it was taken to be lost
            return False
        taken, logged = used(call, outcome), row(call, outcome, time.time())
        was_down = gate.down_since is not None
        again = gate.end(call, outcome, time.monotonic())
        self._spending.settle(call, taken)
        self._rows.append(logged)
        if (outcome.retry_after_s or 0.0) >= LONG_S:
            self._notes.append(f"{call.endpoint} wants to be asked again in {outcome.retry_after_s:.0f} s")
        if was_down != (gate.down_since is not None):
            self._note_state(call.endpoint, gate)
        for endpoint in self._gates:  # the budget, which they share, may have room again
            self._pump(endpoint)
        return again

    def leave(self, call: Call) -> None:
        """Whoever made a call, or waits to make it, is gone."""
        gate = self._gate(call)
        for found in [found for found in gate.waiting if found.call.id == call.id]:
            gate.waiting.remove(found)
            found.turn.cancel()
        if call.id in gate.running:
            self.end(call, Outcome(CANCELLED))

    def take(self, known: int | None = None) -> tuple[list[dict[str, Any]], list[str]]:
        """What was logged, and is to be said, since the last time.

        Args:
            known: How many rows have arrived where they are wanted, of all so far: only these are forgotten. By
                default all that are handed out now.
        """
        arrived = self._forgotten + len(self._rows) if known is None else known
        rows = list(self._rows) if known is None else self._rows[known - self._forgotten :]
        self._rows = self._rows[arrived - self._forgotten :]
        self._forgotten = arrived
        notes, self._notes = self._notes, []
        return list(rows), notes

    def settle_all(self) -> None:
        """Take all calls in flight to be lost, and let none begin any more, at the end of a search."""
        self._ended = self._ended or "the search has ended"
        for gate in self._gates.values():
            for running in list(gate.running.values()):
                self.end(running.call, Outcome(LOST))
        for endpoint in self._gates:
            self._pump(endpoint)

    @property
    def spent(self) -> tuple[float, int, int]:
        """Dollars, tokens and calls of LLMs so far."""
        return self._spending.usd, self._spending.tokens, self._spending.llm_calls

    def _gate(self, call: Call) -> Gate:
        gate = self._gates.setdefault(call.endpoint, Gate(call.limits))
        gate.limits = gate.limits.tighter(call.limits)
        return gate

    def _pump(self, endpoint: str) -> None:
        """Let calls begin as long as they may."""
        gate = self._gates[endpoint]
        now = time.monotonic()
        for call in [call for any_gate in self._gates.values() for call in any_gate.lost(now)]:
            self.end(call, Outcome(LOST))
        while gate.waiting:
            call, turn = gate.waiting[0].call, gate.waiting[0].turn
            if turn.done():
                gate.waiting.popleft()
            elif gate.down_since is not None and now - gate.down_since > self._max_outage_s:
                self._give_up(gate, f" for {self._max_outage_s:g} s" if self._max_outage_s else "")
            elif gate.closed_until - now > max(self._max_outage_s, LONG_S):
                self._give_up(gate, f", and wants to be asked again in {gate.closed_until - now:.0f} s")
            elif (ended := self._why_ended(call)) is not None:
                gate.waiting.popleft()
                turn.set_exception(BudgetUsedUpError(ended))
            elif self._spending.excess(call) is not None:
                self._pump_after(endpoint, 1.0)  # unless a call in flight ends before
                return
            elif (seconds := gate.wait(call, now)) is None:
                self._pump_after(endpoint, 1.0)
                return
            elif seconds > 0:
                self._pump_after(endpoint, min(seconds, 1.0))
                return
            else:
                gate.waiting.popleft()
                gate.begin(call, now)
                self._spending.reserve(call)
                turn.set_result(None)

    def _why_ended(self, call: Call) -> str | None:
        """What is used up, so that no call may begin any more."""
        deadline, excess = self._spending.budget.deadline, self._spending.excess(call)
        if self._ended is None and excess is not None and not self._spending.has_reserved:
            self._ended = f"the budget of {excess} is used up"
        if self._ended is None and deadline is not None and time.time() >= deadline:
            self._ended = "the time budget is used up"
        return self._ended

    def _give_up(self, gate: Gate, waited: str) -> None:
        """Fail all that wait for an endpoint that is down; whoever asks later tries anew."""
        for found in gate.waiting:
            where = f"model {found.call.model!r} at {found.call.endpoint}"
            reason = f"{where} has not answered{waited} ({gate.reason})"
            if not found.turn.done():
                found.turn.set_exception(EndpointDownError(f"{reason}; start it, or correct its address"))
        gate.waiting.clear()
        gate.give_up()

    def _pump_after(self, endpoint: str, seconds: float) -> None:
        timer = self._timers.get(endpoint)
        if timer is not None:
            timer.cancel()
        loop = asyncio.get_running_loop()
        self._timers[endpoint] = loop.call_later(seconds, self._pump, endpoint)

    def _note_state(self, endpoint: str, gate: Gate) -> None:
        if gate.down_since is None:
            self._notes.append(f"{endpoint} answers again")
        else:
            limit = f"for up to {self._max_outage_s:g} s"
            self._notes.append(f"{endpoint} does not answer ({gate.reason}): the search waits for it {limit}")
