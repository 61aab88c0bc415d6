"""Contents on disk: the index and the files together, within a limit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from sqlite3 import Connection

from raytuner.store import rows
from raytuner.store.codec import Content
from raytuner.store.files import DamagedError, Files, checksum
from raytuner.store.folder import default_limit, prepare, unusable
from raytuner.store.index import Index, begin_next
from raytuner.store.leases import Leases
from raytuner.store.locks import INDEX, KeyLocks, LockedFile, key_locks
from raytuner.store.rows import Count, Row

logger = logging.getLogger("raytuner")

SMALL = 64 * 1024
"""Contents of up to this many bytes are in the index, larger ones in files: SQLite reads small ones faster."""

_RENEW_S = 600
"""A time of use is this exact, so that most reading writes nothing."""
_AT_ONCE = 100
"""Contents in one transaction; each may have an open file."""


def empty(folder: Path) -> None:
    """Remove all contents of a folder, also those in use; even on a full disk, where it cannot be opened.

    Raises:
        StoreError: The folder cannot be used.
    """
    prepare(folder)
    files = Files(folder)
    try:
        for _, path in files.names():
            path.unlink(missing_ok=True)
        with key_locks(folder / "locks").holding_byte(INDEX):
            begin_next(folder)
        files.sweep()
    except OSError as error:
        raise unusable(folder, error) from error


class Disk:
    """A folder of contents.

    Args:
        folder: Made if it is not there.
        limit: How many bytes of contents it holds at the most; by default see `default_limit`.

    Raises:
        StoreError: The folder cannot be used; so do all methods.
    """

    def __init__(self, folder: Path, limit: int | None) -> None:
        prepare(folder)
        self.folder = folder
        self.limit = default_limit(folder) if limit is None else limit
        self.leases = Leases(folder)
        self._files = Files(folder)
        self._warned = False
        try:
            self.locks: KeyLocks = key_locks(folder / "locks")
            self._index = Index(folder, self.locks, self._recovered)
            self._index.read(rows.total)
            self._files.sweep()
        except OSError as error:
            raise unusable(folder, error) from error

    def close(self) -> None:
        """Close the database; it is opened again when it is needed."""
        self._index.close()

    def find(self, keys: Sequence[str]) -> list[Row]:
        """The rows of those keys that are there."""
        return self._index.read(lambda connection: rows.find(connection, keys))

    def present(self, keys: Sequence[str]) -> set[str]:
        """Those of several keys under which there is a content."""
        return self._index.read(lambda connection: rows.present(connection, keys))

    def of_stage(self, stage: str) -> list[str]:
        """The keys of what a stage made, the last first."""
        return self._index.read(lambda connection: rows.of_stage(connection, stage))

    def renew(self, found: list[Row]) -> list[Row]:
        """Take note that contents are used, where it is not known yet; gives the rows that are still there."""
        now = time.time()
        known = max(now - _RENEW_S, self.leases.latest() or 0)
        old = [row.key for row in found if row.used < known]
        if not old:
            return found

        def touch(connection: Connection) -> list[Row]:
            rows.touch(connection, old, now)
            return rows.find(connection, [row.key for row in found])

        return self._index.change(touch)

    def read(self, row: Row) -> Content:
        """The content of a row.

        Raises:
            DamagedError: It is not what was written; it is no longer there.
            OSError: It cannot be read, or was removed meanwhile.
        """
        if row.content is None:
            try:
                return self._files.read(row)
            except DamagedError:
                self.remove(row)
                raise
        if checksum(row.key, row.format, [row.content]) != row.digest:
            self.remove(row)
            raise DamagedError
        return row.content

    def write(self, contents: Mapping[str, Callable[[], Sequence[Content]]], form: str, stage: str) -> list[str]:
        """Write contents in place of what is under their keys, evicting others.

        What does not fit beside what is in use is not written, unless there is a lease of this object.

        Args:
            contents: The content of each key, made when it is its turn.
            form: The format of all of them.
            stage: The name of the stage that made them.

        Returns:
            The keys of those that are now in files.
        """
        large = []
        items = iter(contents.items())
        while batch := list(islice(items, _AT_ONCE)):
            with ExitStack() as discarded:
                try:
                    written = [self._prepared(key, make(), form, stage, discarded) for key, make in batch]
                    if self._index.change(partial(self._admit, [row for row, _ in written])):
                        for row, file in written:
                            if file is not None:
                                self._files.publish(file, row)
                                large.append(row.key)
                except OSError as error:
                    raise unusable(self.folder, error) from error
        return large

    def remove(self, row: Row) -> None:
        """Remove one content."""
        try:
            self._index.change(lambda connection: self._remove(connection, [row]))
        except OSError as error:
            raise unusable(self.folder, error) from error

    def count(self) -> dict[str, Count]:
        """The contents of each stage."""
        return self._index.read(rows.count)

    def clear(self, stages: Collection[str] | None, unused_s: float, in_use: bool) -> None:
        """Remove contents; see `Store.clear`."""

        def remove(connection: Connection) -> None:
            # What is put in this very moment is not older than now.
            before = time.time() - unused_s if unused_s else float("inf")
            before = before if in_use else min(before, self.leases.oldest())
            old = rows.least_recent(connection, before)
            self._remove(connection, [row for row in old if stages is None or row.stage in stages])
            for name, path in self._files.names():  # those whose row was lost in a power cut
                if not any(row.digest == name.digest for row in rows.find(connection, [name.key])):
                    path.unlink(missing_ok=True)

        try:
            self._index.change(remove)
            self._index.shrink()
            self._files.sweep()
        except OSError as error:
            raise unusable(self.folder, error) from error

    def _prepared(
        self, key: str, content: Sequence[Content], form: str, stage: str, discarded: ExitStack
    ) -> tuple[Row, LockedFile | None]:
        """The row of a content, and its temporary file if it is large."""
        size = sum(map(len, content))
        file = None
        if size > SMALL:
            file = self._files.write(content)
            discarded.callback(file.discard)
        now = time.time()
        small = b"".join(content) if file is None else None
        return Row(key, stage, form, checksum(key, form, content), size, now, now, small), file

    def _admit(self, new: list[Row], connection: Connection) -> bool:
        """Make room for rows and put them into the table; says whether there is room."""
        old = rows.find(connection, [row.key for row in new])
        incoming = sum(row.size for row in new) - sum(row.size for row in old)
        if not self._make_room(connection, incoming, {row.key for row in new}):
            return False
        paths = {self._files.path(row) for row in new}
        for row in old:
            if row.content is None and self._files.path(row) not in paths:
                self._files.remove(row)
        rows.put(connection, new)
        return True

    def _make_room(self, connection: Connection, incoming: int, staying: set[str]) -> bool:
        if rows.total(connection) + incoming <= self.limit:
            return True
        excess = rows.recount(connection) + incoming - self.limit
        if excess <= 0:
            return True
        victims: list[Row] = []
        freed = 0
        # A tenth more than needed, so that not each of the next ones has to make room again.
        for row in rows.least_recent(connection, self.leases.oldest()):
            if freed >= excess + self.limit // 10:
                break
            if row.key not in staying:
                victims.append(row)
                freed += row.size
        if freed < excess:
            self._warn_of_limit(incoming)
            if self.leases.latest() is None:
                return False
        self._remove(connection, victims)
        return True

    def _warn_of_limit(self, incoming: int) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(
                "%s new bytes and what is in use do not fit into the limit of cache folder %s, %s bytes: "
                "set RAYTUNER_CACHE_LIMIT to more",
                f"{incoming:,}",
                self.folder,
                f"{self.limit:,}",
            )

    def _remove(self, connection: Connection, victims: list[Row]) -> None:
        """Remove contents: first the files, so that none is ever there without a row."""
        for row in victims:
            if row.content is None:
                self._files.remove(row)
        rows.remove(connection, victims)

    def _recovered(self) -> Iterator[Row]:
        """The rows of the files that are there, for a new index."""
        for name, path in self._files.names():
            status = path.stat()
            time_ = status.st_mtime
            yield Row(name.key, name.stage, name.format, name.digest, status.st_size, time_, time_, None)
