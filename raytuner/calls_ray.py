"""The ledger of a search as an actor of Ray's, for all its workers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import ray
from ray import tune

from raytuner.calls.budget import Budget
from raytuner.calls.call import Call, Outcome
from raytuner.calls.handle import Handle
from raytuner.calls.ledger import Ledger
from raytuner.cost import CallLog
from raytuner.errors import EndpointDownError, RaytunerError
from raytuner.nodes_ray import beside_the_driver
from raytuner.objective import Objective
from raytuner.search.options import SearchOptions
from raytuner.space import SearchSpace
from raytuner.study import Study

logger = logging.getLogger("raytuner")

MOST_WAITING = 100_000
"""So many calls of all workers may wait for their turn."""
TAKE_TIMEOUT_S = 10.0
EACH_S = 0.5
"""What was logged is written down, and counted for those who look at what is left of a budget, so often."""


class _Actor:
    """Runs a ledger; errors are returned, since Ray would wrap what is raised."""

    def __init__(self, budget: Budget, path: tuple[str, ...], spent: tuple[float, int, int]) -> None:
        sys.path += [folder for folder in path if folder not in sys.path]
        self._ledger = Ledger(budget, spent=spent)

    async def begin(self, call: Call) -> RaytunerError | None:
        try:
            await self._ledger.begin(call)
        except RaytunerError as error:
            return error
        return None

    async def end(self, call: Call, outcome: Outcome) -> bool:
        return self._ledger.end(call, outcome)

    async def leave(self, call: Call) -> None:
        self._ledger.leave(call)

    async def take(self, known: int, finally_: bool) -> tuple[list[dict[str, Any]], list[str]]:
        if finally_:
            self._ledger.settle_all()
        return self._ledger.take(known)


class ActorHandle(Handle):
    """A way to the ledger in an actor; it can be sent to workers.

    Args:
        actor: Runs a `Ledger`.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def begin(self, call: Call) -> None:
        """See `Handle.begin`."""
        with _there():
            error = ray.get(self._actor.begin.remote(call))
        _raised(error)

    async def abegin(self, call: Call) -> None:
        """See `Handle.abegin`."""
        try:
            with _there():
                error = await self._actor.begin.remote(call)
            _raised(error)
        except asyncio.CancelledError:
            self._actor.leave.remote(call)
            raise

    def end(self, call: Call, outcome: Outcome) -> bool:
        """See `Handle.end`."""
        with _there():
            return bool(ray.get(self._actor.end.remote(call, outcome)))

    async def aend(self, call: Call, outcome: Outcome) -> bool:
        """See `Handle.aend`."""
        with _there():
            return bool(await self._actor.end.remote(call, outcome))

    def take(self, known: int, *, finally_: bool = False) -> tuple[list[dict[str, Any]], list[str]]:
        """See `Ledger.take`.

        Args:
            known: See there.
            finally_: Whether the search has ended, so that what is in flight will not be settled.
        """
        taken = self._actor.take.remote(known, finally_)
        found: tuple[list[dict[str, Any]], list[str]] = ray.get(taken, timeout=TAKE_TIMEOUT_S)
        return found

    def close(self) -> None:
        """End the actor."""
        ray.kill(self._actor)


def _start(budget: Budget, spent: tuple[float, int, int]) -> ActorHandle:
    make = ray.remote(**beside_the_driver(), max_concurrency=MOST_WAITING)(_Actor)
    return ActorHandle(make.remote(budget, tuple(sys.path), spent))


class Accounts(tune.Callback):  # type: ignore[misc]
    """Writes down, while a search runs, what its calls take.

    Args:
        ledger: All calls go through it; None if none is made.
        study: The search.
    """

    def __init__(self, ledger: ActorHandle | None, study: Study) -> None:
        self.ledger = ledger
        self._study = study
        self._log = CallLog(study.folder) if study.folder else None
        self._next = 0.0
        self._known = 0
        self._closed = ledger is None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks to a file that nobody reads."""
        return {}

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look, if it is time to."""
        if not self._closed and time.monotonic() >= self._next:
            self._next = time.monotonic() + EACH_S
            self._take(finally_=False)

    def close(self) -> None:
        """Write down the last ones, and end the ledger."""
        if self._closed or self.ledger is None:
            return
        self._closed = True
        self._take(finally_=True)
        with contextlib.suppress(ray.exceptions.RayError):
            self.ledger.close()

    def _take(self, *, finally_: bool) -> None:
        assert self.ledger is not None
        try:
            rows, notes = self.ledger.take(self._known, finally_=finally_)
        except ray.exceptions.RayError:  # it is slow, and asked again soon; or gone, and what it told is written
            return
        self._known += len(rows)
        self._study.taken.add(rows)
        for note in notes:
            logger.warning("%s", note)
        if self._log is not None:
            self._log.extend(rows)


def open_accounts(
    objective: Objective,
    space: SearchSpace,
    options: SearchOptions,
    study: Study,
) -> Accounts:
    """Start what all calls of a search go through, if it makes any.

    Args:
        objective: What is evaluated.
        space: The search space.
        options: With the budget.
        study: The search, and what an earlier driver has taken of the budget.
    """
    if options.budget == Budget() and not objective.calls_services(space):
        return Accounts(None, study)
    seconds = options.time_budget_s
    deadline = None if seconds is None else time.time() + seconds
    return Accounts(_start(replace(options.budget, deadline=deadline), study.taken.all), study)


@contextlib.contextmanager
def _there() -> Iterator[None]:
    """No question is at fault if the ledger is gone: the search ends."""
    try:
        yield
    except ray.exceptions.RayError as error:
        raise EndpointDownError(f"the ledger of all calls is gone ({type(error).__name__}); begin again") from None


def _raised(error: RaytunerError | None) -> None:
    if error is not None:
        raise error
