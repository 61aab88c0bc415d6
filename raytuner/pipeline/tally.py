"""How much each stage has made and used again in this process, and how long the making took."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class Use:
    """What became of the artefacts of a stage.

    Attributes:
        made: How many were made.
        reused: How many were there already, in the process or on disk.
        seconds: How long the making took, what other stages made for it apart. Calls that overlap count each.
    """

    made: int = 0
    reused: int = 0
    seconds: float = 0.0


class Tally:
    """Counts by stage, until it is asked."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._uses: dict[str, Use] = {}
        self._own = threading.local()

    @contextlib.contextmanager
    def making(self, stage: str, count: int) -> Iterator[None]:
        """While artefacts of a stage are made."""
        outer = getattr(self._own, "inner", 0.0)
        self._own.inner = 0.0
        started = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - started
            self._add(stage, made=count, seconds=took - self._own.inner)
            self._own.inner = outer + took

    def reused(self, stage: str, count: int) -> None:
        """So many artefacts of a stage were there."""
        self._add(stage, reused=count)

    def take(self) -> dict[str, Use]:
        """What was counted since the last time, by stage."""
        with self._guard:
            found, self._uses = self._uses, {}
        return found

    def _add(self, stage: str, made: int = 0, reused: int = 0, seconds: float = 0.0) -> None:
        if not stage or not (made or reused):  # what is derived beside artefacts has no stage
            return
        with self._guard:
            use = self._uses.setdefault(stage, Use())
            use.made += made
            use.reused += reused
            use.seconds += seconds


TALLY = Tally()
"""That of this process, which works for one trial at a time."""
