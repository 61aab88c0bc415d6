"""The store as stages see it: artefacts by key and codec, built once."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from raytuner.errors import StoreError
from raytuner.store.codec import Codec
from raytuner.store.disk import Disk
from raytuner.store.files import DamagedError
from raytuner.store.rows import Count, Row

T = TypeVar("T")
logger = logging.getLogger("raytuner")

_KEY = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True)
class Info:
    """What is in a store.

    Attributes:
        folder: Its folder.
        limit: How many bytes it may hold.
        stages: The artefacts of each stage.
    """

    folder: Path
    limit: int
    stages: Mapping[str, Count]

    @property
    def artefacts(self) -> int:
        """How many there are."""
        return sum(count.artefacts for count in self.stages.values())

    @property
    def bytes(self) -> int:
        """How many bytes they have."""
        return sum(count.bytes for count in self.stages.values())

    @property
    def oldest(self) -> float | None:
        """When the first of them was made, in seconds since 1970."""
        return min((count.oldest for count in self.stages.values()), default=None)

    @property
    def newest(self) -> float | None:
        """When the last of them was made."""
        return max((count.newest for count in self.stages.values()), default=None)


BATCH_S = 0.3
"""What is built together is cut into batches that take about so many seconds."""


class _Task(Generic[T]):
    """What is asked for: the keys with the first position of each, and how what is missing is made and stored."""

    def __init__(
        self,
        keys: Sequence[str],
        build: Callable[[list[int]], Sequence[T]],
        codec: Codec[T],
        stage: str,
        usable: Callable[[T], bool] = lambda _: True,
    ) -> None:
        self.keys: dict[str, int] = {}
        for position, key in enumerate(keys):
            self.keys.setdefault(key, position)
        self.build, self.codec, self.stage, self.usable = build, codec, stage, usable


class Store:
    """Artefacts on disk under their keys, for any number of threads and processes; see the package.

    What fails while artefacts are read, built and kept costs no run: a warning says it once, and the run goes on
    without the disk. Only opening a store, `put`, `put_many`, `info` and `clear` raise.

    Args:
        folder: Made if it is not there; nothing else may be in it.
        limit: How many bytes of artefacts it holds at the most; by default see `default_limit`.

    Raises:
        StoreError: The folder cannot be used.
    """

    def __init__(self, folder: str | Path, limit: int | None = None) -> None:
        self.folder = Path(folder).absolute()
        self._disk = Disk(self.folder, limit)
        self.limit = self._disk.limit
        self._reads = self._writes = True
        self._saying = threading.Lock()

    def close(self) -> None:
        """Close the database; it is opened again when it is needed."""
        self._disk.close()

    def lease(self) -> AbstractContextManager[None]:
        """Keep what is used from now on from being evicted, until the context or the process ends.

        Hold one while a trial runs. What a caller keeps in memory from before is not among it: it needs no file.
        """
        return self._disk.leases.hold()

    def of_stage(self, stage: str, codec: Codec[T]) -> list[T]:
        """All artefacts of a stage, the last first.

        Raises:
            StoreError: The folder cannot be used.
        """
        keys = self._disk.of_stage(stage)
        found = self.get_many(keys, codec)
        return [found[key] for key in keys if key in found]

    def present(self, keys: Sequence[str]) -> set[str]:
        """Those of several keys under which there is an artefact; that counts as no use."""
        try:
            return self._disk.present(keys) if self._reads else set()
        except StoreError as error:
            self._do_without(error)
            return set()

    def get(self, key: str, codec: Codec[T]) -> T | None:
        """The artefact under a key, or None."""
        return self.get_many([key], codec).get(key)

    def get_many(self, keys: Sequence[str], codec: Codec[T]) -> dict[str, T]:
        """The artefacts under those of several keys that are there, undamaged and of this codec's format."""
        found = {}
        for row in self._find(keys):
            if row.format != codec.format:
                continue
            try:
                found[row.key] = codec.decode(self._disk.read(row))
            except FileNotFoundError:  # evicted, or not yet in its place
                continue
            except DamagedError:
                logger.warning("artefact %s of %s in %s was damaged: it is removed", row.key, row.stage, self.folder)
            except (OSError, StoreError) as error:
                self._do_without(error)
                break
        return found

    def put(self, key: str, value: T, codec: Codec[T], *, stage: str) -> None:
        """Store an artefact; see `put_many`."""
        self.put_many({key: value}, codec, stage=stage)

    def put_many(self, values: Mapping[str, T], codec: Codec[T], *, stage: str) -> None:
        """Store artefacts in place of what is under their keys.

        What does not fit beside what is in use is not stored, unless there is a lease of this store.

        Raises:
            StoreError: The disk is full, or the folder cannot be used.
        """
        self._put(values, codec, stage)

    def get_or_build(self, key: str, build: Callable[[], T], codec: Codec[T], *, stage: str) -> T:
        """The artefact under a key, built now if it is not there.

        Others that ask for it meanwhile wait for it, and build it if this process dies or `build` fails.

        Args:
            key: The content key: 32 hexadecimal digits.
            build: Makes the artefact.
            codec: How it is stored.
            stage: The name of what makes it, for `info`.

        Returns:
            The artefact; callers must not change it.
        """
        (artefact,) = self.get_or_build_many([key], lambda _: [build()], codec, stage=stage)
        return artefact

    def get_or_build_many(
        self,
        keys: Sequence[str],
        build: Callable[[list[int]], Sequence[T]],
        codec: Codec[T],
        *,
        stage: str,
        usable: Callable[[T], bool] = lambda _: True,
    ) -> list[T]:
        """The artefacts under several keys; those missing or not usable are built in one call and replaced.

        `build` may ask for other keys, those that its artefacts are computed from.

        Args:
            keys: The content keys.
            build: Takes the positions in `keys` that are needed and returns their artefacts in that order.
            codec: How they are stored.
            stage: The name of what makes them, for `info`.
            usable: Whether a stored artefact serves, e.g. a ranking that is deep enough.

        Returns:
            The artefacts in the order of the keys; callers must not change them.
        """
        task = _Task(keys, build, codec, stage, usable)
        found = self._usable(task, task.keys)
        if missing := [key for key in task.keys if key not in found]:
            with self._holding(missing):
                found |= self._complete(task, missing)
        return [found[key] for key in keys]

    def build_together(
        self,
        keys: Sequence[str],
        build: Callable[[list[int]], Sequence[T]],
        codec: Codec[T],
        *,
        stage: str,
        at_least: int = 1,
    ) -> list[T]:
        """As `get_or_build_many`, in batches: processes that ask for the same at once share the work among them.

        Args:
            keys: The content keys.
            build: Makes the artefacts of several positions; what it makes must not depend on which are together.
            codec: How they are stored.
            stage: The name of what makes them.
            at_least: How many are in the first batch, and in the others too but for the last one.

        Returns:
            The artefacts in the order of the keys.
        """
        task = _Task(keys, build, codec, stage)
        found = self._usable(task, task.keys)
        todo = [key for key in task.keys if key not in found]
        size = at_least
        while todo:
            with self._claiming(todo, size) as batch:
                known = self._usable(task, batch)
                fresh = [key for key in batch if key not in known]
                started = time.perf_counter()
                found |= known | self._made(task, fresh)
                if fresh:
                    size = max(at_least, min(2 * size, int(len(fresh) * BATCH_S / (time.perf_counter() - started))))
            todo = [key for key in todo if key not in found]
        return [found[key] for key in keys]

    def _usable(self, task: _Task[T], keys: Iterable[str]) -> dict[str, T]:
        """The artefacts that are there and serve."""
        return {
            key: artefact for key, artefact in self.get_many(list(keys), task.codec).items() if task.usable(artefact)
        }

    def _complete(self, task: _Task[T], keys: Sequence[str]) -> dict[str, T]:
        """The artefacts of keys that are held: what others have built meanwhile, the rest built now."""
        found = self._usable(task, keys)
        return found | self._made(task, [key for key in keys if key not in found])

    def _made(self, task: _Task[T], keys: Sequence[str]) -> dict[str, T]:
        """The artefacts of keys that are held, built now."""
        if not keys:
            return {}
        built = dict(zip(keys, task.build([task.keys[key] for key in keys]), strict=True))
        return built | self._kept(built, task.codec, task.stage)

    def info(self) -> Info:
        """What is in the store.

        Raises:
            StoreError: The folder cannot be used.
        """
        return Info(self.folder, self.limit, self._disk.count())

    def clear(self, stages: Collection[str] | None = None, unused_s: float = 0, in_use: bool = False) -> Info:
        """Remove artefacts. Running processes keep what they have read, and build again what they ask for again.

        Args:
            stages: Only those of these stages.
            unused_s: Only those not used for so many seconds.
            in_use: Also those that are kept for a lease.

        Returns:
            What is left.

        Raises:
            StoreError: The folder cannot be used; on a full disk only `empty` may help.
        """
        self._disk.clear(stages, unused_s, in_use)
        return self.info()

    def _find(self, keys: Sequence[str]) -> list[Row]:
        """The rows of keys, noted as used."""
        if not self._reads:
            return []
        try:
            found = self._disk.find(keys)
        except StoreError as error:
            self._do_without(error)
            return []
        if self._writes:
            try:
                return self._disk.renew(found)
            except StoreError as error:
                self._store_no_more(error)
        return found

    def _put(self, values: Mapping[str, T], codec: Codec[T], stage: str) -> list[str]:
        """Store artefacts; gives the keys of those in files."""
        if not all(_NAME.fullmatch(name) for name in (stage, codec.format)):
            raise ValueError(f"stage {stage!r}, format {codec.format!r}: they are parts of file names; use words")
        if bad := [key for key in values if not _KEY.fullmatch(key)]:
            raise ValueError(f"key {bad[0]!r}: use 32 hexadecimal digits in lower case")
        contents = {key: partial(codec.encode, value) for key, value in values.items()}
        return self._disk.write(contents, codec.format, stage)

    def _kept(self, built: Mapping[str, T], codec: Codec[T], stage: str) -> dict[str, T]:
        """Store what was built; gives what is in files as others will read it, which shares the memory with them."""
        if not (self._reads and self._writes):
            return {}
        try:
            large = self._put(built, codec, stage)
        except StoreError as error:
            self._store_no_more(error)
            return {}
        return self.get_many(large, codec) if large else {}

    @contextmanager
    def _holding(self, keys: Sequence[str]) -> Iterator[None]:
        """Hold the locks of keys, as far as there are locks: what is built twice is still right."""
        with ExitStack() as held:
            try:
                held.enter_context(self._disk.locks.holding(keys))
            except OSError as error:
                logger.warning("cannot lock in cache folder %s: %s", self.folder, error)
            yield

    @contextmanager
    def _claiming(self, keys: Sequence[str], count: int) -> Iterator[Sequence[str]]:
        """Hold the locks of the first so many of several keys that are free; if none is, wait for the first one."""
        with ExitStack() as held:
            try:
                claimed: Sequence[str] = held.enter_context(self._disk.locks.free(keys, count))
            except OSError:  # no locks here, which is said when they are waited for
                claimed = keys[:count]
                held.enter_context(self._holding(claimed))
            if not claimed:
                claimed = keys[:1]
                held.enter_context(self._holding(claimed))
            yield claimed

    def _store_no_more(self, error: StoreError) -> None:
        with self._saying:  # several threads may find the disk full at once
            writes, self._writes = self._writes, False
        if writes:
            logger.warning("%s; the run goes on and stores no more", error)

    def _do_without(self, error: Exception) -> None:
        self._reads = False
        logger.warning("%s; the run goes on without the cache folder", error)
