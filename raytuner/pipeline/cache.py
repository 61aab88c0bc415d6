"""Artefacts by content key, so that what two trials share is computed once in a process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


class StageCache:
    """Keeps artefacts in the process under their content keys."""

    def __init__(self) -> None:
        self._artefacts: dict[str, Any] = {}
        self._lock = threading.RLock()

    def get(self, key: str) -> Any:
        """The artefact under a key, or None."""
        with self._lock:
            return self._artefacts.get(key)

    def get_or_build(self, key: str, build: Callable[[], T]) -> T:
        """The artefact under a key, built now if it is not there.

        Args:
            key: The content key.
            build: Makes the artefact; called at most once for a key.

        Returns:
            The artefact; callers must not change it.
        """
        with self._lock:
            if key not in self._artefacts:
                self._artefacts[key] = build()
            artefact: T = self._artefacts[key]
            return artefact

    def get_or_build_many(
        self,
        keys: Sequence[str],
        build: Callable[[list[int]], Sequence[T]],
        usable: Callable[[T], bool] = lambda _: True,
    ) -> list[T]:
        """The artefacts under several keys; those missing or not usable are built in one call.

        Args:
            keys: The content keys.
            build: Takes the positions in `keys` that are needed and returns their artefacts in that order.
            usable: Whether a stored artefact serves, e.g. a ranking that is deep enough.

        Returns:
            The artefacts in the order of the keys.
        """
        with self._lock:
            needed = [i for i, key in enumerate(keys) if key not in self._artefacts or not usable(self._artefacts[key])]
            if needed:
                for position, artefact in zip(needed, build(needed), strict=True):
                    self._artefacts[keys[position]] = artefact
            return [self._artefacts[key] for key in keys]
