"""How the workers of a search begin together, those that come later too."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass

from ray.experimental import internal_kv

LATER_S = 60.0
"""So long those at work wait for workers on a node that has joined, which has to load everything first."""
HOLD_BACK_S = 600.0
ALONE_S = 30.0
"""The most that a worker which cannot start waits before it says so: while others work, and while none does."""


@dataclass(frozen=True)
class Gate:
    """Lets the workers of a run begin their first trials together.

    Tune hands a free worker to a waiting trial even while that trial's own worker is starting, and
    then ends the latter. Where trials are shorter than the start of a process, all of them would
    run in the one worker that came up first.

    Where nodes join later, those at work wait once more before their next trial, until the new ones are there.

    Attributes:
        run: A name of the run, unique in the cluster.
        workers: How many are expected at first.
        limit_s: How long the first ones wait at the most.
        grows: Whether more may be expected later.
    """

    run: str
    workers: int
    limit_s: float = 20.0
    grows: bool = False

    def enter(self, passed: int) -> int:
        """Wait until Tune has started a trial in every worker that is expected; in a worker, before each trial.

        Args:
            passed: What the last call has returned; 0 the first time.

        Returns:
            How many have been waited for.
        """
        if not passed:
            _put(f"{self._workers}{uuid.uuid4().hex}", "1")
        expected = int(_get(self._expected) or self.workers) if self.grows or not passed else passed
        end = time.monotonic() + (LATER_S if passed else self.limit_s)
        while expected > passed and self._seen() < expected and time.monotonic() < end:
            time.sleep(0.02)
        return max(expected, passed)

    def expect(self, more: int) -> None:
        """Expect more workers; in the driver."""
        _put(self._expected, str(max(self._seen(), self.workers) + more))

    def hold_back(self) -> None:
        """Wait in a worker that cannot start: meanwhile Tune gives its trial to another one that becomes free.

        Where none has started yet, not for long, so that it is soon said why.
        """
        _put(f"{self._failed}{uuid.uuid4().hex}", "1")
        began = time.monotonic()
        alone_s = min(2.0 ** len(_listed(self._failed)), ALONE_S)
        while (waited := time.monotonic() - began) < HOLD_BACK_S:
            if waited > alone_s and not _listed(self._workers):
                return
            time.sleep(0.5)

    def close(self) -> None:
        """Forget the workers; for the driver, when the run has ended."""
        if internal_kv._internal_kv_initialized():  # not after Ray has ended, nor where a `Cluster` of tests has
            internal_kv._internal_kv_del(f"raytuner:{self.run}:".encode(), del_by_prefix=True)

    def _seen(self) -> int:
        """How many workers have started, or could not."""
        return len(_listed(self._workers)) + len(_listed(self._failed))

    @property
    def _workers(self) -> str:
        return f"raytuner:{self.run}:worker:"

    @property
    def _failed(self) -> str:
        return f"raytuner:{self.run}:failed:"

    @property
    def _expected(self) -> str:
        return f"raytuner:{self.run}:expected"


def _put(key: str, value: str) -> None:
    """Write into what all processes of the cluster can read."""
    internal_kv._internal_kv_put(key.encode(), value.encode(), overwrite=True)


def _get(key: str) -> bytes | None:
    found: bytes | None = internal_kv._internal_kv_get(key.encode())
    return found


def _listed(prefix: str) -> list[bytes]:
    return list(internal_kv._internal_kv_list(prefix.encode()))
