"""Artefacts in a storage that several machines share, beside the store on the disk of each."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TypeVar

from raytuner.errors import in_a_line, redact
from raytuner.storage import Storage
from raytuner.store.codec import Codec
from raytuner.store.files import checksum

T = TypeVar("T")
logger = logging.getLogger("raytuner")

_DIGEST = 32


class Remote:
    """Artefacts in a storage, each an object of its own, named by key and format and led by its checksum.

    What fails costs no run: a warning says it once, and the run goes on without the storage. What is half-written or
    damaged is as if it were not there.

    Args:
        storage: Where they are.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._works = True
        self._folders: set[str] = set()

    def get_many(self, keys: Sequence[str], codec: Codec[T]) -> dict[str, T]:
        """The artefacts under those of several keys that are there, undamaged and of this codec's format."""
        if not self._works or not keys:
            return {}
        paths = [self._path(key, codec) for key in keys]
        try:
            # At once, as `cat` would, which takes brackets in a path for a pattern.
            contents = self._storage.files.cat_ranges(paths, None, None, on_error="return")
        except Exception as error:  # each file system has errors of its own
            self._do_without(error)
            return {}
        found = {}
        for key, content in zip(keys, contents, strict=True):
            if isinstance(content, Exception):  # it is not there, or cannot be had
                continue
            digest, artefact = content[:_DIGEST], memoryview(content)[_DIGEST:]
            if checksum(key, codec.format, [artefact]).encode() == digest:
                found[key] = codec.decode(artefact)
        return found

    def put_many(self, values: Mapping[str, T], codec: Codec[T]) -> None:
        """Store artefacts."""
        if not self._works:
            return
        try:
            objects = {self._path(key, codec): _led(key, value, codec) for key, value in values.items()}
            for folder in {path.rpartition("/")[0] for path in objects} - self._folders:
                self._storage.make_folder(folder)
                self._folders.add(folder)
            self._storage.files.pipe(objects)
        except Exception as error:  # each file system has errors of its own
            self._do_without(error)

    def _path(self, key: str, codec: Codec[T]) -> str:
        return f"{self._storage.root}/{key[:2]}/{key}.{codec.format}"

    def _do_without(self, error: Exception) -> None:
        self._works = False
        reason = redact(in_a_line(error))
        logger.warning("storage %s: %s; the run goes on without it", self._storage.url, reason)


def _led(key: str, value: T, codec: Codec[T]) -> bytes:
    """A content with its checksum before it."""
    content = codec.encode(value)
    return b"".join([checksum(key, codec.format, content).encode(), *content])
