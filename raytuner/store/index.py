"""The SQLite database of a store: opened when needed, by threads and after a fork; replaced when it is damaged."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from raytuner.errors import StoreError
from raytuner.store import rows
from raytuner.store.folder import full, is_on_network, prepare, unusable
from raytuner.store.locks import INDEX, KeyLocks

logger = logging.getLogger("raytuner")
R = TypeVar("R")

_BUSY_S = 30
_WAL_BYTES = 16 * 2**20
_NO_SPACE = 64 * 1024
_ENVIRONMENT = ("locked", "full", "readonly", "unable to open", "disk I/O error")
"""What SQLite says of the system around a database; anything else that fails is the database's own fault."""

_ERRORS = (sqlite3.Error, UnicodeError)
"""What a database raises; the second if a damaged name is part of SQLite's message."""

_inherited: list[sqlite3.Connection] = []
"""Connections of a parent process, kept from being closed: that would disturb the parent's locks."""
_open: weakref.WeakSet[Index] = weakref.WeakSet()


class Index:
    """The database of a folder.

    Its file has a number. A damaged one is not mended but left, and the next number begun, with the rows that
    `recover` finds; so no process ever has a database replaced under it, which SQLite does not survive.

    Args:
        folder: The folder of the store.
        locks: Its locks.
        recover: Gives the rows of a new database.
    """

    def __init__(self, folder: Path, locks: KeyLocks, recover: Callable[[], Iterable[rows.Row]]) -> None:
        self._folder = folder
        self._locks = locks
        self._recover = recover
        self._path = folder
        self.forget()
        _open.add(self)

    def forget(self) -> None:
        """Start without a connection, as in a forked child."""
        self._connection: sqlite3.Connection | None = None
        self._guard = threading.RLock()

    def inherit(self) -> None:
        """In a forked child: leave the parent's connection alone."""
        if self._connection is not None:
            _inherited.append(self._connection)
        self.forget()

    def close(self) -> None:
        """Close the connection; the next use opens one again."""
        with self._guard:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def read(self, operation: Callable[[sqlite3.Connection], R]) -> R:
        """Run queries, on a new database if the old one turns out to be damaged.

        Raises:
            StoreError: The database cannot be used.
        """
        with self._guard:
            try:
                return operation(self._connected())
            except _ERRORS as error:
                self._mend(error)
            try:
                return operation(self._connected())
            except _ERRORS as error:
                raise self._unusable(error) from error

    def change(self, operation: Callable[[sqlite3.Connection], R]) -> R:
        """Run statements in one transaction, likewise."""

        def transaction(connection: sqlite3.Connection) -> R:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = operation(connection)
                connection.execute("COMMIT")
                return result
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

        return self.read(transaction)

    def shrink(self) -> None:
        """Give the space of removed rows back to the disk."""
        self.read(lambda connection: connection.execute("PRAGMA incremental_vacuum").fetchall())

    def _connected(self) -> sqlite3.Connection:
        """The connection, opened if there is none or its file is gone."""
        if self._connection is None or not self._path.exists():
            self.close()
            prepare(self._folder)
            try:
                with self._locks.holding_byte(INDEX):
                    self._connection = self._opened()
            except OSError as error:
                raise unusable(self._folder, error) from error
        return self._connection

    def _opened(self) -> sqlite3.Connection:
        *_, self._path = [self._folder / "index-000001.sqlite", *_databases(self._folder)]
        # SQLite would make it, but readable for others; its journals have the mode of the file.
        _touch(self._path)
        connection = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._set_up(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set_up(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        # Write-ahead logging needs memory that all users share, which those on several machines do not. Whoever makes
        # the database decides, since others may have it open.
        on_network = is_on_network(self._folder)
        if version == 0:
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute(f"PRAGMA journal_mode = {'delete' if on_network else 'wal'}")
            connection.execute("BEGIN IMMEDIATE")
            rows.create(connection)
            rows.put(connection, list(self._recover()))
            connection.execute("COMMIT")
        elif version != rows.VERSION:
            raise sqlite3.DatabaseError(f"the index is of version {version}")
        elif on_network and connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
            raise StoreError(
                f"cache folder {str(self._folder)!r} is on a network, but was made on the machine that has its disk: "
                "set RAYTUNER_CACHE to another folder"
            )

    def _mend(self, error: Exception) -> None:
        """Begin a new database, unless another process has, or the fault is not the database's.

        Raises:
            StoreError: It is not.
        """
        if not _is_damage(error):
            raise self._unusable(error) from error
        damaged = self._path
        self.close()
        with self._locks.holding_byte(INDEX):
            if [damaged] == _databases(self._folder)[-1:]:
                logger.warning("the index of cache folder %s is damaged (%s): it is made again", self._folder, error)
                begin_next(self._folder)

    def _unusable(self, error: Exception) -> StoreError:
        # Without space for the memory that it shares, SQLite only speaks of an error of input or output.
        is_full = "full" in str(error) or shutil.disk_usage(self._folder).free < _NO_SPACE
        return full(self._folder) if is_full else unusable(self._folder, OSError(str(error)))


def begin_next(folder: Path) -> None:
    """Begin a new database and remove those before it; the caller holds the lock of the index."""
    old = _databases(folder)
    number = int(old[-1].stem.rpartition("-")[2]) + 1 if old else 1
    _touch(folder / f"index-{number:06}.sqlite")
    for path in old:
        for suffix in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def _databases(folder: Path) -> list[Path]:
    return sorted(folder.glob("index-*.sqlite"))


def _touch(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _is_damage(error: Exception) -> bool:
    return not (isinstance(error, sqlite3.OperationalError) and any(part in str(error) for part in _ENVIRONMENT))


def _inherit_all() -> None:
    for index in list(_open):
        index.inherit()


os.register_at_fork(after_in_child=_inherit_all)
