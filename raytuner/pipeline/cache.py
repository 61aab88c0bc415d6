"""Artefacts by content key, so that what two trials share is computed once: in the process, then on disk."""

from __future__ import annotations

import functools
import logging
import mmap
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from raytuner.errors import StoreError
from raytuner.folders import cache_folder
from raytuner.store import Codec, Store
from raytuner.store.folder import LIMIT_VARIABLE, parse_size

T = TypeVar("T")
logger = logging.getLogger("raytuner")

MEMORY = 2 * 10**9
"""About how many bytes of artefacts a process keeps; the least recently used go first."""


class StageCache:
    """Keeps artefacts under their content keys.

    Args:
        store: Where artefacts are kept that have a codec; without one, all are kept in the process only.
        memory: About how many bytes are kept in the process.
    """

    def __init__(self, store: Store | None = None, memory: int = MEMORY) -> None:
        self.store = store
        self._memory = memory
        self._artefacts: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.RLock()

    def get(self, key: str, codec: Codec[Any] | None = None) -> Any:
        """The artefact under a key, or None."""
        with self._lock:
            if key not in self._artefacts and codec is not None and self.store is not None:
                stored = self.store.get(key, codec)
                if stored is not None:
                    self._keep(key, stored)
            return self._recall(key)

    def get_or_build(self, key: str, build: Callable[[], T], *, codec: Codec[T] | None = None, stage: str = "") -> T:
        """The artefact under a key, built now if it is not there.

        Args:
            key: The content key.
            build: Makes the artefact; called at most once for a key.
            codec: How it is stored on disk; without one it is not.
            stage: The name of what makes it.

        Returns:
            The artefact; callers must not change it.
        """
        (artefact,) = self.get_or_build_many([key], lambda _: [build()], codec=codec, stage=stage)
        return artefact

    def get_or_build_many(
        self,
        keys: Sequence[str],
        build: Callable[[list[int]], Sequence[T]],
        *,
        codec: Codec[T] | None = None,
        stage: str = "",
        usable: Callable[[T], bool] = lambda _: True,
    ) -> list[T]:
        """The artefacts under several keys; those missing or not usable are built in one call.

        Args:
            keys: The content keys.
            build: Takes the positions in `keys` that are needed and returns their artefacts in that order.
            codec: How they are stored on disk; without one they are not.
            stage: The name of what makes them.
            usable: Whether a stored artefact serves, e.g. a ranking that is deep enough.

        Returns:
            The artefacts in the order of the keys.
        """
        with self._lock:
            found = {key: artefact for key in dict.fromkeys(keys) if (artefact := self._recall(key)) is not None}
            needed = [i for key, i in _first(keys).items() if key not in found or not usable(found[key])]
            if needed:
                wanted = [keys[i] for i in needed]
                if codec is None or self.store is None:
                    made = build(needed)
                else:
                    made = self.store.get_or_build_many(
                        wanted, lambda which: build([needed[i] for i in which]), codec, stage=stage, usable=usable
                    )
                for key, artefact in zip(wanted, made, strict=True):
                    found[key] = artefact
                    self._keep(key, artefact)
            return [found[key] for key in keys]

    def _recall(self, key: str) -> Any:
        if key not in self._artefacts:
            return None
        self._artefacts.move_to_end(key)
        return self._artefacts[key][0]

    def _keep(self, key: str, artefact: Any) -> None:
        size = size_of(artefact)
        self._bytes += size - self._artefacts.pop(key, (None, 0))[1]
        self._artefacts[key] = artefact, size
        while self._bytes > self._memory and len(self._artefacts) > 1:
            _, (_, freed) = self._artefacts.popitem(last=False)
            self._bytes -= freed


def _first(keys: Sequence[str]) -> dict[str, int]:
    """Where each of the keys is first."""
    return {key: i for i, key in reversed(list(enumerate(keys)))}


_OVERHEAD = 100
_SAMPLE = 200


def size_of(artefact: Any) -> int:
    """About how many bytes of memory an artefact takes; of long lists a part stands for the whole."""
    if isinstance(artefact, np.ndarray):
        return _OVERHEAD + (0 if _is_mapped(artefact) else artefact.nbytes)
    if isinstance(artefact, (str, bytes)):
        return _OVERHEAD + len(artefact)
    if isinstance(artefact, dict):
        artefact = list(artefact.items())
    if isinstance(artefact, (list, tuple, frozenset)):
        step = max(1, len(artefact) // _SAMPLE)
        sample = list(artefact)[::step]
        return _OVERHEAD + int(sum(map(size_of, sample)) * len(artefact) / max(1, len(sample)))
    return _OVERHEAD


def _is_mapped(array: np.ndarray[Any, Any]) -> bool:
    """Whether an array lies in a mapped file, whose memory all processes share."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, memoryview) and isinstance(base.obj, mmap.mmap)


def shared_cache() -> StageCache:
    """The process's one cache, over the user's cache folder."""
    return _shared(cache_folder() / "artefacts", os.environ.get(LIMIT_VARIABLE))


@functools.cache
def _shared(folder: Path, limit: str | None) -> StageCache:
    return StageCache(open_store(folder, limit))


def open_store(folder: Path, limit: str | None) -> Store | None:
    """The store in a folder; None where the limit is 0, or the folder cannot be used, which is said.

    Raises:
        StoreError: The limit is no size.
    """
    allowed = None if limit is None else parse_size(limit, LIMIT_VARIABLE)
    if allowed == 0:
        return None
    try:
        return Store(folder, allowed)
    except StoreError as error:
        logger.warning("%s; what trials share is kept in each process only", error)
        return None
