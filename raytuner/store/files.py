"""Files of large artefacts: written beside their place, checked when they are first read, mapped into memory."""

from __future__ import annotations

import hashlib
import mmap
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from raytuner.store.codec import Content
from raytuner.store.folder import FILES, TEMPORARY
from raytuner.store.locks import LockedFile, is_left_over
from raytuner.store.rows import Row

_GRACE_S = 60
"""Younger temporary files are left alone: their writer may not have locked them yet."""


_MAPPED = 2**20
"""Files of at least this many bytes are mapped."""


class DamagedError(Exception):
    """What is stored is not what was written."""


def checksum(key: str, form: str, content: Sequence[Content]) -> str:
    """32 hexadecimal digits of the SHA-256 of a content, and of what it is the content of."""
    sha256 = hashlib.sha256(f"{key}\0{form}\0".encode())
    for part in content:
        sha256.update(part)
    return sha256.hexdigest()[:32]


class Name(NamedTuple):
    """What the path of a file tells, which is enough to make its row again."""

    stage: str
    key: str
    digest: str
    format: str


class Files:
    """The files below a folder.

    A file is named by its key and its checksum. So a new content is a new file, and who reads while it is replaced has
    the old one or the new one.
    """

    def __init__(self, folder: Path) -> None:
        self._files = folder / FILES
        self._temporary = folder / TEMPORARY
        self._verified: dict[Path, tuple[int, int, int]] = {}

    def path(self, row: Row) -> Path:
        """Where the file of a row is."""
        return self._files / row.stage / f"{row.key}.{row.digest}.{row.format}"

    def write(self, content: Sequence[Content]) -> LockedFile:
        """Write a temporary file.

        Nothing is flushed to the disk by force: what a power cut leaves is checked before it is used.
        """
        temporary = LockedFile(self._temporary)
        try:
            with open(temporary.file, "wb", closefd=False) as file:
                for part in content:
                    file.write(part)
        except BaseException:
            temporary.discard()
            raise
        return temporary

    def publish(self, temporary: LockedFile, row: Row) -> None:
        """Give a temporary file its place."""
        path = self.path(row)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        temporary.move(path)
        self._verified[path] = _state(temporary.file)
        temporary.release()

    def read(self, row: Row) -> memoryview:
        """The content of a file, mapped into memory if it is large; it stays readable if it is removed or replaced.

        The checksum is computed once in a process, and again if the file changes: that costs about half a second for
        1 GB, which every reading would cost if it were done each time.

        Raises:
            FileNotFoundError: It is not there.
            DamagedError: It is not what was written.
        """
        path = self.path(row)
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            state = _state(file)
            if state[1] != row.size or not row.size:
                raise DamagedError
            content = _mapped(file, row.size)
        finally:
            os.close(file)
        if self._verified.get(path) != state:
            if checksum(row.key, row.format, [content]) != row.digest:
                raise DamagedError
            self._verified[path] = state
        return content

    def remove(self, row: Row) -> None:
        """Remove the file of a row."""
        path = self.path(row)
        path.unlink(missing_ok=True)
        self._verified.pop(path, None)

    def names(self) -> Iterator[tuple[Name, Path]]:
        """The files that are there."""
        for path in self._files.glob("*/*"):
            parts = path.name.split(".", 2)
            if len(parts) == 3:
                yield Name(path.parent.name, *parts), path

    def sweep(self) -> None:
        """Remove the temporary files of processes that are no more."""
        for path in self._temporary.iterdir():
            try:
                if time.time() - path.stat().st_mtime > _GRACE_S and is_left_over(path):
                    path.unlink(missing_ok=True)
            except FileNotFoundError:  # its writer was faster
                continue


def _mapped(file: int, size: int) -> memoryview:
    """A file as memory; one that is not large is read, since before Python 3.13 a map keeps a descriptor."""
    if size >= _MAPPED:
        if sys.version_info >= (3, 13):
            return memoryview(mmap.mmap(file, size, access=mmap.ACCESS_READ, trackfd=False))
        return memoryview(mmap.mmap(file, size, access=mmap.ACCESS_READ))
    with open(file, "rb", closefd=False) as stream:
        return memoryview(stream.read(size))


def _state(file: int) -> tuple[int, int, int]:
    """What changes when a file is changed or replaced."""
    status = os.fstat(file)
    return status.st_ino, status.st_size, status.st_mtime_ns
