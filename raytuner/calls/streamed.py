"""An answer that comes piece by piece; its call ends when it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from raytuner.calls import context
from raytuner.calls.call import Call, used
from raytuner.calls.handle import Handle
from raytuner.calls.request import Request


class Streamed:
    """The pieces of an answer, which settles its call at their end, or when nobody wants them any more.

    Args:
        pieces: What the client of the service gives.
        asking: The request.
        call: The attempt that was answered.
        handle: The ledger that let it begin.
    """

    def __init__(self, pieces: Any, asking: Request, call: Call, handle: Handle) -> None:
        self._pieces = pieces
        self._asking = asking
        self._call = call
        self._handle = handle

    async def __aiter__(self) -> AsyncIterator[Any]:
        """The pieces; one that does not come raises what the whole answer would."""
        text, told, finish = "", None, None
        try:
            async for piece in self._pieces:
                choices = getattr(piece, "choices", None) or ()
                text += "".join(choice.delta.content or "" for choice in choices if choice.delta is not None)
                told = getattr(piece, "usage", None) or told
                finish = next((choice.finish_reason for choice in choices if choice.finish_reason), finish)
                yield piece
        except BaseException as error:  # of one that nobody wants any more too: it is to be settled
            outcome, raised = self._asking.failed(error)
            context.charge(used(self._call, outcome).usd)
            await self._pieces.close()
            await self._handle.aend(self._call, outcome)
            raise raised from None
        outcome, problem = self._asking.streamed(text, told, finish)
        context.charge(used(self._call, outcome).usd)
        await self._handle.aend(self._call, outcome)
        if problem is not None:
            raise problem
