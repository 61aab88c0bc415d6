"""Locks between processes and threads. The kernel holds them, so they vanish with a holder that is killed."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
import uuid
import weakref
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

INDEX = 1 << 60
"""The lock of the index; those of keys are below it."""
_RETRY_S = 0.02


class KeyLocks:
    """One file whose bytes are the locks of keys: any number of them, without a file or a descriptor for each.

    Such locks belong to a process, and closing any descriptor of the file would drop them all. So a process has one
    object for a file (`key_locks`), which is never closed, and a lock of Python's beside each for the threads.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.forget()

    def forget(self) -> None:
        """Start with no thread holding anything, as in a forked child, which inherits no locks of a process."""
        self._guard = threading.Lock()
        self._threads: weakref.WeakValueDictionary[int, threading.RLock] = weakref.WeakValueDictionary()

    def is_of(self, path: Path) -> bool:
        """Whether the file still stands under its name."""
        mine = os.fstat(self._file)
        try:
            there = path.stat()
        except FileNotFoundError:
            return False
        return (mine.st_dev, mine.st_ino) == (there.st_dev, there.st_ino)

    @contextmanager
    def holding(self, keys: Iterable[str]) -> Iterator[None]:
        """Hold the locks of keys (hexadecimal), waiting for other holders."""
        with ExitStack() as held:
            # In one order everywhere, so that two that want several of the same never wait for each other.
            for offset in sorted({int(key[:15], 16) for key in keys}):
                held.enter_context(self.holding_byte(offset))
            yield

    @contextmanager
    def free(self, keys: Iterable[str], count: int) -> Iterator[list[str]]:
        """Hold the locks of the first so many of several keys that nobody else holds; gives these keys, never waits."""
        with ExitStack() as held:
            yield list(islice((key for key in keys if self._try(int(key[:15], 16), held)), count))

    def _try(self, offset: int, held: ExitStack) -> bool:
        thread_lock = self._thread_lock(offset)
        if not thread_lock.acquire(blocking=False):
            return False
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, offset)
        except BaseException as error:
            thread_lock.release()
            if isinstance(error, BlockingIOError):
                return False
            raise
        held.callback(thread_lock.release)
        held.callback(fcntl.lockf, self._file, fcntl.LOCK_UN, 1, offset)
        return True

    def _thread_lock(self, offset: int) -> threading.RLock:
        with self._guard:
            return self._threads.setdefault(offset, threading.RLock())

    @contextmanager
    def holding_byte(self, offset: int) -> Iterator[None]:
        """Hold the lock of one byte."""
        with self._thread_lock(offset):
            self._acquire(offset)
            try:
                yield
            finally:
                fcntl.lockf(self._file, fcntl.LOCK_UN, 1, offset)

    def _acquire(self, offset: int) -> None:
        while True:
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX, 1, offset)
                return
            except OSError as error:
                # The kernel sees a deadlock where two threads of a process only look like one holder: wait for it.
                if error.errno != errno.EDEADLK:
                    raise
                time.sleep(_RETRY_S)


_key_locks: dict[Path, KeyLocks] = {}
_guard = threading.Lock()


def key_locks(path: Path) -> KeyLocks:
    """The process's one object for a file of locks."""
    path = path.resolve()
    with _guard:
        if path not in _key_locks or not _key_locks[path].is_of(path):
            _key_locks[path] = KeyLocks(path)
        return _key_locks[path]


class LockedFile:
    """A new file that is locked as long as this process has it open: who finds it unlocked knows that it is left over.

    Args:
        folder: Where it is made.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / uuid.uuid4().hex
        self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._is_open = True
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.discard()
            raise
        _own.add(self.path)

    def move(self, path: Path) -> None:
        """Put it under another name, in place of what is there."""
        _own.add(path)
        self.path.replace(path)
        _own.discard(self.path)
        self.path = path

    def release(self) -> None:
        """Leave it there, unlocked."""
        self._is_open = False
        os.close(self.file)
        _own.discard(self.path)

    def discard(self) -> None:
        """Remove it, unless it was released."""
        if self._is_open:
            self.path.unlink(missing_ok=True)
            self.release()


_own: set[Path] = set()
"""Locked files of this process; on network file systems a process does not see its own locks."""


def is_left_over(path: Path) -> bool:
    """Whether no living process holds a `LockedFile`."""
    if path in _own:
        return False
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    finally:
        os.close(file)


def _forget_all() -> None:
    global _guard  # noqa: PLW0603 (another thread of the parent may have held it)
    _guard = threading.Lock()
    for locks in _key_locks.values():
        locks.forget()


os.register_at_fork(after_in_child=_forget_all)
