"""The thread that tells one tracker of a search, as fast as the tracker takes it in."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from raytuner.errors import in_a_line, redact
from raytuner.tracking.tracker import EndFacts, RunFacts, Tracker, TrialFacts

T = TypeVar("T")

logger = logging.getLogger("raytuner")

AGAIN_S = 5.0
"""So long it waits after the first failure; twice as long after each further one."""
MOST_S = 60.0


class Feed:
    """Tells a tracker what is new.

    Of each trial only the newest state waits, so that a slow tracker misses nothing and what waits is no more than the
    trials there are.

    Args:
        name: That of the tracker.
        tracker: The tracker; nobody else uses it.
        run: The search.
    """

    def __init__(self, name: str, tracker: Tracker, run: RunFacts) -> None:
        self._name = name
        self._tracker = tracker
        self._run = run
        self._changed = threading.Condition()
        self._waiting: dict[int, TrialFacts] = {}
        self._end: EndFacts | None = None
        self._begun = self._done = False
        self._error: str | None = None
        self._thread = threading.Thread(target=self._work, name=f"track-{name}", daemon=True)
        self._thread.start()

    def put(self, trial: TrialFacts) -> None:
        """Have the tracker told of a trial, in place of what of it still waits; returns at once."""
        with self._changed:
            self._waiting[trial.number] = trial
            self._changed.notify()

    def close(self, end: EndFacts, limit_s: float) -> str | None:
        """Have the tracker told of the end, and wait for that.

        Args:
            end: How the search ended.
            limit_s: The longest wait; Ctrl-C ends it too.

        Returns:
            What the tracker could not be told; None if it knows all.
        """
        with self._changed:
            self._end = end
            self._changed.notify()
        with contextlib.suppress(KeyboardInterrupt):  # somebody does not want to wait; no result is lost by it
            self._thread.join(limit_s)
        with self._changed:
            return None if self._done else self._missing()

    def _missing(self) -> str:
        count = len(self._waiting)
        what = f"{count} trial{'' if count == 1 else 's'}" if count else "the end of the search"
        reason = self._error or "it took too long"
        return f"{self._name} was not told of {what}: {reason}; raytuner resume {self._run.folder} tells it"

    def _work(self) -> None:
        pause = AGAIN_S
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._end or not self._begun)
                end = self._end
            told = self._tell(end)
            if end is not None:
                self._done = told
                return
            if told:
                pause = AGAIN_S
                continue
            with self._changed:
                self._changed.wait_for(lambda: self._end, pause)
            pause = min(MOST_S, 2 * pause)

    def _tell(self, end: EndFacts | None) -> bool:
        """Tell all that waits, and the end if it has come; False if something could not be told."""
        if not self._begun:
            self._begun = self._works(self._tracker.begin, self._run)
            if not self._begun:
                return False
        with self._changed:
            waiting = list(self._waiting.values())
        told = True
        for trial in waiting:
            if not self._tell_trial(trial):
                told = False
                if end is None:  # the others have their chance later on, and before this one
                    return False
        return told if end is None else self._works(self._tracker.end, end) and told

    def _tell_trial(self, trial: TrialFacts) -> bool:
        told = self._works(self._tracker.trial, trial)
        with self._changed:
            if self._waiting.get(trial.number) is trial:
                del self._waiting[trial.number]
                if not told:
                    self._waiting[trial.number] = trial  # behind the others
        return told

    def _works(self, call: Callable[[T], None], told: T) -> bool:
        """Make a call; whatever the tracker's library raises is no reason to end a search."""
        try:
            call(told)
        except Exception as error:
            said = redact(in_a_line(error))
            if self._error is None:
                logger.warning("%s cannot be told of the search, which goes on: %s", self._name, said)
            self._error = said
            return False
        return True
