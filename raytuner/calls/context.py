"""What a call is made for, and whose ledger it goes through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raytuner.calls.handle import Handle

_trial: ContextVar[int | None] = ContextVar("raytuner_trial", default=None)
_stage: ContextVar[str] = ContextVar("raytuner_stage", default="other")
_keep: ContextVar[tuple[Keep, asyncio.AbstractEventLoop] | None] = ContextVar("raytuner_keep", default=None)
_waits: ContextVar[Waits | None] = ContextVar("raytuner_waits", default=None)
_bill: ContextVar[Bill | None] = ContextVar("raytuner_bill", default=None)
_handle: Handle | None = None


@contextmanager
def labelled(*, trial: int | None = None, stage: str | None = None) -> Iterator[None]:
    """Say what the calls of this context, and of tasks that it starts, are made for.

    Args:
        trial: The number of the trial; None leaves it as it is.
        stage: What is asked for; None leaves it as it is.
    """
    tokens = [(_trial, _trial.set(trial))] if trial is not None else []
    stages = [(_stage, _stage.set(stage))] if stage is not None else []
    try:
        yield
    finally:
        for own, token in tokens:
            own.reset(token)
        for name, was in stages:
            name.reset(was)


Keep = Callable[[Any, Mapping[str, Any], Callable[[], Coroutine[Any, Any, Any]]], Coroutine[Any, Any, Any]]
"""Gives the answer to a request: from the type of answers, the body of the request, and what asks."""


@contextmanager
def kept_by(keep: Keep) -> Iterator[None]:
    """Ask only for what is not kept, in this context and in tasks and threads that it starts.

    Args:
        keep: Knows what was answered before.
    """
    token = _keep.set((keep, asyncio.get_running_loop()))
    try:
        yield
    finally:
        _keep.reset(token)


def keeper() -> tuple[Keep, asyncio.AbstractEventLoop] | None:
    """What keeps answers here, and the event loop on which it does; None if nothing does."""
    return _keep.get()


@dataclass
class Waits:
    """What calls waited for that is no property of what was asked.

    Attributes:
        seconds: Waiting for their turns, and for attempts that failed.
        longest: The seconds of the longest attempt that was answered.
    """

    seconds: float = 0.0
    longest: float = 0.0


@contextmanager
def waiting() -> Iterator[Waits]:
    """Gather what the calls of this context, and of tasks that it starts, wait for."""
    found = Waits()
    token = _waits.set(found)
    try:
        yield found
    finally:
        _waits.reset(token)


def answered(seconds: float, waited: float) -> None:
    """Take note of a call that was answered.

    Args:
        seconds: How long the attempt took that was answered.
        waited: How long the call took beside that.
    """
    found = _waits.get()
    if found is not None:
        found.seconds += max(waited, 0.0)
        found.longest = max(found.longest, seconds)


@dataclass
class Bill:
    """What calls cost.

    Attributes:
        usd: US dollars, those of attempts that failed included; None if a price is not known.
    """

    usd: float | None = 0.0


@contextmanager
def charged(bill: Bill) -> Iterator[None]:
    """Add up what the calls of this context, and of tasks and threads that it starts, cost.

    Args:
        bill: Where it is added.
    """
    token = _bill.set(bill)
    try:
        yield
    finally:
        _bill.reset(token)


def charge(usd: float | None) -> None:
    """Take note of what an attempt cost; None is not known."""
    bill = _bill.get()
    if bill is not None:
        bill.usd = None if usd is None or bill.usd is None else bill.usd + usd


def trial() -> int | None:
    """The number of the trial that asks."""
    return _trial.get()


def stage() -> str:
    """What is asked for."""
    return _stage.get()


def calling(through: Handle | None) -> None:
    """From now on the calls of this process go through a ledger of many; None is one of its own."""
    global _handle  # noqa: PLW0603 - a process works for one search at a time
    _handle = through


def handle() -> Handle:
    """Where calls of this process are asked for and settled."""
    from raytuner.calls.handle import own_handle

    return _handle or own_handle()
