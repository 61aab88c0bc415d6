"""Artefacts by content key, so that what two trials share is computed once: in the process, then on disk."""

from __future__ import annotations

import functools
import logging
import mmap
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar
from weakref import WeakValueDictionary

import numpy as np

from raytuner import memory
from raytuner.errors import StoreError
from raytuner.folders import cache_folder
from raytuner.pipeline.tally import TALLY
from raytuner.store import Codec, Store
from raytuner.store.folder import LIMIT_VARIABLE, parse_size

T = TypeVar("T")
logger = logging.getLogger("raytuner")


class Others(Protocol):
    """Other machines, which build the same artefacts."""

    def built(
        self,
        keys: Sequence[str],
        build: Callable[[list[int]], Sequence[T]],
        codec: Codec[T],
        usable: Callable[[T], bool],
    ) -> list[T]:
        """The artefacts under some keys: from another machine, or built here if none does; see `StageCache`."""


class Elsewhere(Protocol):
    """Artefacts that are somewhere else already."""

    def get_many(self, keys: Sequence[str], codec: Codec[T]) -> dict[str, T]:
        """The artefacts under those of several keys that are there."""

    def put_many(self, values: Mapping[str, T], codec: Codec[T]) -> None:
        """Take artefacts that were built here, where that is possible."""


class Stored:
    """Artefacts that are elsewhere already are not built; see `Others`.

    Args:
        elsewhere: Where is looked before anything is built.
        others: Who may build the same at this time.
    """

    def __init__(self, elsewhere: Elsewhere, others: Others | None = None) -> None:
        self._elsewhere, self._others = elsewhere, others

    def built(
        self,
        keys: Sequence[str],
        build: Callable[[list[int]], Sequence[T]],
        codec: Codec[T],
        usable: Callable[[T], bool],
    ) -> list[T]:
        """See `Others.built`."""

        def look_first(which: list[int]) -> list[T]:
            names = [keys[i] for i in which]
            stored = self._elsewhere.get_many(names, codec)
            found = {key: artefact for key, artefact in stored.items() if usable(artefact)}
            missing = [i for i in which if keys[i] not in found]
            if missing:
                made = dict(zip([keys[i] for i in missing], build(missing), strict=True))
                self._elsewhere.put_many(made, codec)
                found |= made
            return [found[name] for name in names]

        if self._others is None:
            return look_first(list(range(len(keys))))
        return self._others.built(keys, look_first, codec, usable)


_others: Others | None = None


def share_with(others: Others | None) -> None:
    """From now on artefacts that are missing here are built by one machine only; None is this one alone."""
    global _others  # noqa: PLW0603 - a process works for one search at a time
    _others = others


class StageCache:
    """Keeps artefacts under their content keys.

    Args:
        store: Where artefacts are kept that have a codec; without one, all are kept in the process only.
        limit: About how many bytes are kept in the process, the least recently used go first; by default the
            process's share of the memory.
    """

    def __init__(self, store: Store | None = None, limit: int | None = None) -> None:
        self.store = store
        self._limit = memory.for_artefacts() if limit is None else limit
        self._artefacts: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._guard = threading.Lock()
        self._locks: WeakValueDictionary[str, threading.RLock] = WeakValueDictionary()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While a trial runs: what it uses is not evicted from the disk."""
        with ExitStack() as held:
            if self.store is not None:
                try:
                    held.enter_context(self.store.lease())
                except OSError as error:  # a full disk, of which the trial needs nothing
                    logger.warning("cannot keep what is used in cache folder %s: %s", self.store.folder, error)
            yield

    def get(self, key: str, codec: Codec[Any] | None = None) -> Any:
        """The artefact under a key, or None."""
        with self._guard:
            if key in self._artefacts:
                return self._recall(key)
        stored = self.store.get(key, codec) if codec is not None and self.store is not None else None
        if stored is not None:
            with self._guard:
                self._keep(key, stored)
        return stored

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
        batch: int | None = None,
    ) -> list[T]:
        """The artefacts under several keys; those missing or not usable are built in one call.

        Args:
            keys: The content keys.
            build: Takes the positions in `keys` that are needed and returns their artefacts in that order.
            codec: How they are stored on disk; without one they are not.
            stage: The name of what makes them.
            usable: Whether a stored artefact serves, e.g. a ranking that is deep enough.
            batch: The fewest that are worth a call, where others that need the same share the work, a batch each;
                None makes them all at once.

        Returns:
            The artefacts in the order of the keys.
        """
        found = self._recall_many(keys, usable)
        needed = [i for key, i in _first(keys).items() if key not in found]
        made_here = 0
        if needed:
            wanted = [keys[i] for i in needed]

            def make(which: list[int]) -> Sequence[T]:
                nonlocal made_here
                made_here += len(which)
                with TALLY.making(stage, len(which)):
                    return build([needed[i] for i in which])

            def make_or_fetch(which: list[int]) -> Sequence[T]:
                if _others is None or codec is None:
                    return make(which)
                names = [wanted[i] for i in which]
                return _others.built(names, lambda some: make([which[i] for i in some]), codec, usable)

            if codec is None or self.store is None:
                made = self._made(wanted, make_or_fetch, usable)
            elif batch is not None:
                made = self.store.build_together(wanted, make_or_fetch, codec, stage=stage, at_least=batch)
            else:
                made = self.store.get_or_build_many(wanted, make_or_fetch, codec, stage=stage, usable=usable)
            found |= dict(zip(wanted, made, strict=True))
            with self._guard:
                for key, artefact in zip(wanted, made, strict=True):
                    self._keep(key, artefact)
        TALLY.reused(stage, max(0, len(found) - made_here))
        return [found[key] for key in keys]

    def _made(
        self, keys: Sequence[str], build: Callable[[list[int]], Sequence[T]], usable: Callable[[T], bool]
    ) -> list[T]:
        """Build what is kept in the process only, once even if several threads ask."""
        with ExitStack() as held:
            for key in sorted(keys):  # in one order, so that no two threads wait for each other
                held.enter_context(self._lock_of(key))
            found = self._recall_many(keys, usable)
            needed = [i for i, key in enumerate(keys) if key not in found]
            if needed:
                found |= zip([keys[i] for i in needed], build(needed), strict=True)
            with self._guard:
                for key in keys:
                    self._keep(key, found[key])
            return [found[key] for key in keys]

    def _lock_of(self, key: str) -> threading.RLock:
        with self._guard:
            return self._locks.setdefault(key, threading.RLock())

    def _recall_many(self, keys: Sequence[str], usable: Callable[[T], bool]) -> dict[str, T]:
        """Those of the artefacts that are in the process and usable."""
        with self._guard:
            known = {key: self._recall(key) for key in keys if key in self._artefacts}
        return {key: artefact for key, artefact in known.items() if usable(artefact)}

    def _recall(self, key: str) -> Any:
        self._artefacts.move_to_end(key)
        return self._artefacts[key][0]

    def _keep(self, key: str, artefact: Any) -> None:
        size = size_of(artefact)
        self._bytes += size - self._artefacts.pop(key, (None, 0))[1]
        self._artefacts[key] = artefact, size
        while self._bytes > self._limit and len(self._artefacts) > 1:
            _, (_, freed) = self._artefacts.popitem(last=False)
            self._bytes -= freed


class NotOnDiskError(Exception):
    """Something would have to be made."""


class OnDisk(StageCache):
    """What is on disk, to be looked at: all that is kept there is read and nothing made.

    Args:
        store: See `StageCache`.
    """

    def get_many(self, keys: Sequence[str], codec: Codec[T]) -> dict[str, T]:
        """The artefacts under those of several keys that are there."""
        found: dict[str, T] = self._recall_many(keys, lambda _: True)
        needed = [key for key in keys if key not in found]
        if needed and self.store is not None:
            read = self.store.get_many(needed, codec)
            with self._guard:
                for key, artefact in read.items():
                    self._keep(key, artefact)
            found |= read
        return found

    def get_or_build_many(
        self,
        keys: Sequence[str],
        build: Callable[[list[int]], Sequence[T]],
        *,
        codec: Codec[T] | None = None,
        stage: str = "",
        usable: Callable[[T], bool] = lambda _: True,
        batch: int | None = None,
    ) -> list[T]:
        """As `StageCache.get_or_build_many`, for what is there.

        Raises:
            NotOnDiskError: One is not there, or not usable.
        """
        if codec is None:  # it costs next to nothing
            return super().get_or_build_many(keys, build, stage=stage, usable=usable)
        found = self.get_many(keys, codec)
        if not all(key in found and usable(found[key]) for key in keys):
            raise NotOnDiskError(stage)
        return [found[key] for key in keys]


def _first(keys: Sequence[str]) -> dict[str, int]:
    """Where each of the keys is first."""
    first: dict[str, int] = {}
    for i, key in enumerate(keys):
        first.setdefault(key, i)
    return first


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


def artefacts_folder() -> Path:
    """Where artefacts are on disk."""
    return cache_folder() / "artefacts"


def shared_cache() -> StageCache:
    """The process's one cache, over the user's cache folder."""
    return _shared(artefacts_folder(), os.environ.get(LIMIT_VARIABLE))


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
