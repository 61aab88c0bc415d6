"""What a call is made for, and whose ledger it goes through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raytuner.calls.handle import Handle

_trial: ContextVar[int | None] = ContextVar("raytuner_trial", default=None)
_stage: ContextVar[str] = ContextVar("raytuner_stage", default="other")
_waits: ContextVar[Waits | None] = ContextVar("raytuner_waits", default=None)
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
