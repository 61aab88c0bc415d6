"""What is left of trials that were begun, and lost with their worker or with an earlier driver."""

from __future__ import annotations

import contextlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ray.exceptions import NodeDiedError, ObjectLostError, OutOfMemoryError, RayActorError
from ray.tune.search import Searcher

from raytuner.errors import in_a_line
from raytuner.schedulers.around import Around

MAX_RETRIES = 3
"""So often a trial goes on elsewhere, where it was, before it has failed with its worker."""


@dataclass
class Losses:
    """Which trials go on after their worker was lost.

    Attributes:
        most: How often each may.
        is_over: Whether a trial, by its number, has taken longer than it may, so that it does not go on.
        settle: Called before it is decided; waits while it is not the worker that is lost, but all of Ray.
    """

    most: int = MAX_RETRIES
    is_over: Callable[[int], bool] = lambda number: False
    settle: Callable[[], None] = lambda: None
    _lost: Counter[int] = field(default_factory=Counter)
    _decided: dict[str, bool] = field(default_factory=dict)

    def goes_on(self, trial_id: str, number: int) -> bool:
        """Whether a trial whose worker was lost goes on; asked again, the same.

        Args:
            trial_id: Tune's id.
            number: The number of the trial.
        """
        if trial_id not in self._decided:
            self.settle()
            self._lost[number] += 1
            self._decided[trial_id] = self._lost[number] <= self.most and not self.is_over(number)
        return self._decided[trial_id]


@contextlib.contextmanager
def every_loss_counted() -> Iterator[None]:
    """Have Tune take each way in which Ray reports a lost worker for one; of most it thinks that they cannot be.

    So it ended the search when Ray had ended one worker for its use of memory.
    """
    from ray.air.execution._internal.actor_manager import RayActorManager

    taken: Callable[..., None] = RayActorManager._actor_task_failed

    def failed(manager: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, (OutOfMemoryError, NodeDiedError, ObjectLostError)):
            exception = RayActorError(error_msg=in_a_line(exception))
        taken(manager, tracked_actor_task=tracked_actor_task, exception=exception)

    RayActorManager._actor_task_failed = failed
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = taken


class UnfinishedSearcher(Around):
    """Hands out what is left of lost trials, and then what another searcher suggests.

    To Tune what is left of a trial is another trial, with the same number: finished blocks are in the log. The searcher
    inside hears of one trial only, and of its end.

    Args:
        inner: The search as a whole.
        losses: Says which trials go on.
        left: What is left of a trial, from what was handed out of it.
        begun: What an earlier driver has begun: what the searcher inside calls a trial, and what was handed out.
        goes_on: Whether one of those, by what the searcher inside calls it, goes on; None while that depends on what
            runs.
    """

    def __init__(
        self,
        inner: Any,
        losses: Losses,
        left: Callable[[dict[str, Any]], dict[str, Any]],
        begun: Iterable[tuple[str, dict[str, Any]]] = (),
        goes_on: Callable[[str], bool | None] = lambda trial_id: True,
    ) -> None:
        super().__init__(inner)
        self._losses = losses
        self._left = left
        self._queue = deque(begun)
        self._goes_on = goes_on
        self._running: dict[str, tuple[str, dict[str, Any]]] = {}

    def suggest(self, trial_id: str) -> Any:
        """What is left of a trial, or a new one; None while that depends on what runs."""
        while self._queue:
            inner_id, handed = self._queue[0]
            if (goes_on := self._goes_on(inner_id)) is None:
                return None
            self._queue.popleft()
            if goes_on:
                self._running[trial_id] = inner_id, handed
                return self._left(handed)
        found = self._inner.suggest(trial_id)
        if isinstance(found, dict):
            self._running[trial_id] = trial_id, found
            if found.get("held_out"):  # of which an earlier driver may have had some answered
                return self._left(found)
        # One that is lost is handed out again, so Tune must not take the search for finished.
        return None if found == Searcher.FINISHED and self._running else found

    def on_partial(self, trial_id: str, share: float, result: Any) -> None:
        """See `Guard.on_partial`."""
        if trial_id in self._running:
            super().on_partial(self._running[trial_id][0], share, result)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial has ended, or its worker was lost."""
        inner_id, handed = self._running.pop(trial_id, (trial_id, {}))
        if error and handed and self._losses.goes_on(trial_id, handed["number"]):
            self._queue.appendleft((inner_id, handed))  # before those that may have to wait for it
        else:
            self._inner.on_trial_complete(inner_id, result, error)
