"""Leases: what was used since the oldest living one began is not evicted."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raytuner.store.folder import LEASES, TEMPORARY
from raytuner.store.locks import LockedFile, is_left_over


class Leases:
    """The leases of all processes on a store: a locked file each, named by when it began.

    Args:
        folder: The folder of the store.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / LEASES
        self._temporary = folder / TEMPORARY
        self._own: list[float] = []
        self._guard = threading.Lock()

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold a lease."""
        lease = LockedFile(self._temporary)
        try:
            # It gets its place when it is locked, so that nobody takes it for one of a dead process. What was used
            # before it could be seen there may already be about to be evicted, so it began for its holder only then.
            lease.move(self._folder / f"{time.time()!r}-{uuid.uuid4().hex}")
            began = time.time()
            with self._guard:
                self._own.append(began)
            try:
                yield
            finally:
                with self._guard:
                    self._own.remove(began)
        finally:
            lease.discard()

    def latest(self) -> float | None:
        """When the latest lease of this object began; what is used under it must not look older than that."""
        with self._guard:
            return max(self._own, default=None)

    def oldest(self) -> float:
        """When the oldest lease of any living process began, infinity if there is none; dead ones are removed."""
        living = [float("inf")]
        for path in self._folder.iterdir():
            if is_left_over(path):
                path.unlink(missing_ok=True)
            else:
                living.append(float(path.name.partition("-")[0]))
        return min(living)
