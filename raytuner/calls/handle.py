"""How a process reaches the ledger of its search, from threads and from any event loop."""

from __future__ import annotations

import asyncio
import functools
import threading
from abc import ABC, abstractmethod

from raytuner.calls.call import Call, Outcome
from raytuner.calls.ledger import Ledger


class Handle(ABC):
    """A way to a ledger."""

    @abstractmethod
    def begin(self, call: Call) -> None:
        """See `Ledger.begin`; it waits in this thread."""

    @abstractmethod
    async def abegin(self, call: Call) -> None:
        """See `Ledger.begin`."""

    @abstractmethod
    def end(self, call: Call, outcome: Outcome) -> bool:
        """See `Ledger.end`."""

    @abstractmethod
    async def aend(self, call: Call, outcome: Outcome) -> bool:
        """See `Ledger.end`."""


class LocalHandle(Handle):
    """A ledger of this process, on an event loop of its own.

    Args:
        ledger: The ledger.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="raytuner-calls", daemon=True).start()

    def begin(self, call: Call) -> None:
        """See `Handle.begin`."""
        asyncio.run_coroutine_threadsafe(self.ledger.begin(call), self._loop).result()

    async def abegin(self, call: Call) -> None:
        """See `Handle.abegin`."""
        try:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self.ledger.begin(call), self._loop))
        except asyncio.CancelledError:
            self._loop.call_soon_threadsafe(self.ledger.leave, call)  # it may have begun already
            raise

    def end(self, call: Call, outcome: Outcome) -> bool:
        """See `Handle.end`."""
        return asyncio.run_coroutine_threadsafe(self._end(call, outcome), self._loop).result()

    async def aend(self, call: Call, outcome: Outcome) -> bool:
        """See `Handle.aend`."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._end(call, outcome), self._loop))

    def forget(self) -> None:
        """Let go of what was logged so far."""
        self._loop.call_soon_threadsafe(self.ledger.take)

    async def _end(self, call: Call, outcome: Outcome) -> bool:
        return self.ledger.end(call, outcome)


@functools.cache
def own_handle() -> LocalHandle:
    """The ledger of a process that works for no search of many; nobody would see that it waits."""
    return LocalHandle(Ledger(max_outage_s=0.0))


def forget_calls() -> None:
    """Let go of the account of calls that nobody will read, where this process works for no search of many."""
    if own_handle.cache_info().currsize:
        own_handle().forget()
