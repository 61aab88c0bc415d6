"""The table of artefacts: one row for each, with its content if that is small."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

VERSION = 1

_SCHEMA = """
CREATE TABLE artefact (
    key TEXT PRIMARY KEY, stage TEXT, format TEXT, digest TEXT, size INTEGER, made REAL, used REAL, content BLOB
);
CREATE INDEX artefact_used ON artefact (used);
CREATE TABLE total (bytes INTEGER);
INSERT INTO total VALUES (0);
CREATE TRIGGER added AFTER INSERT ON artefact BEGIN UPDATE total SET bytes = bytes + new.size; END;
CREATE TRIGGER removed AFTER DELETE ON artefact BEGIN UPDATE total SET bytes = bytes - old.size; END;
CREATE TRIGGER replaced AFTER UPDATE OF size ON artefact
    BEGIN UPDATE total SET bytes = bytes - old.size + new.size; END;
"""
_COLUMNS = "key, stage, format, digest, size, made, used, content"
_LITTLE = "key, stage, format, digest, size, made, used, CASE WHEN content IS NULL THEN NULL ELSE x'' END"
_AT_ONCE = 500
"""Keys in one query; SQLite allowed 999 variables before version 3.32."""


class Row(NamedTuple):
    """An artefact in the table.

    Attributes:
        key: Its content key.
        stage: The name of the stage that made it.
        format: That of its codec.
        digest: Its checksum.
        size: Its bytes.
        made: When it was stored, in seconds since 1970.
        used: When it was last used, at least roughly (see `Store`).
        content: The bytes, or None if they are in a file.
    """

    key: str
    stage: str
    format: str
    digest: str
    size: int
    made: float
    used: float
    content: bytes | None


class Count(NamedTuple):
    """How many artefacts, how many bytes they have, and when the first and the last of them were made."""

    artefacts: int
    bytes: int
    oldest: float
    newest: float


def create(connection: sqlite3.Connection) -> None:
    """Make the tables, in the transaction that is open."""
    for statement in _statements(_SCHEMA):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _statements(script: str) -> Iterator[str]:
    """``executescript`` would end the transaction."""
    statement = ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def find(connection: sqlite3.Connection, keys: Sequence[str]) -> list[Row]:
    """The rows of those keys that are there."""
    return list(map(_row, _those(connection, _COLUMNS, keys)))


def present(connection: sqlite3.Connection, keys: Sequence[str]) -> set[str]:
    """Those of several keys that are there, without reading their contents."""
    return {key for (key,) in _those(connection, "key", keys)}


def _those(connection: sqlite3.Connection, columns: str, keys: Sequence[str]) -> Iterator[Any]:
    for start in range(0, len(keys), _AT_ONCE):
        part = keys[start : start + _AT_ONCE]
        query = f"SELECT {columns} FROM artefact WHERE key IN ({', '.join('?' * len(part))})"  # noqa: S608
        yield from connection.execute(query, part)


def of_stage(connection: sqlite3.Connection, stage: str) -> list[str]:
    """The keys of what a stage made, the last first."""
    return [
        key for (key,) in connection.execute("SELECT key FROM artefact WHERE stage = ? ORDER BY made DESC", (stage,))
    ]


def least_recent(connection: sqlite3.Connection, before: float = float("inf")) -> Iterator[Row]:
    """The rows not used since a time, least recently used first, with an empty content where there is one."""
    query = f"SELECT {_LITTLE} FROM artefact WHERE used < ? ORDER BY used, rowid"  # noqa: S608
    return map(_row, connection.execute(query, [before]))


def put(connection: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Insert rows, in place of those that have their keys.

    Raises:
        sqlite3.DatabaseError: They are not found after that, as in a tree whose order is damaged.
    """
    connection.executemany(
        f"INSERT INTO artefact ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "  # noqa: S608
        "stage = excluded.stage, format = excluded.format, digest = excluded.digest, size = excluded.size, "
        "made = excluded.made, used = max(used, excluded.used), content = excluded.content",
        rows,
    )
    for start in range(0, len(rows), _AT_ONCE):
        part = [row.key for row in rows[start : start + _AT_ONCE]]
        query = f"SELECT count(*) FROM artefact WHERE key IN ({', '.join('?' * len(part))})"  # noqa: S608
        if connection.execute(query, part).fetchone() != (len(set(part)),):
            raise sqlite3.DatabaseError("rows are not found")


def touch(connection: sqlite3.Connection, keys: Iterable[str], now: float) -> None:
    """Take note that artefacts are used; a process that had to wait does not set the time back."""
    connection.executemany("UPDATE artefact SET used = max(used, ?) WHERE key = ?", ((now, key) for key in keys))


def remove(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Remove rows, unless they were replaced since they were read."""
    connection.executemany("DELETE FROM artefact WHERE key = ? AND digest = ?", ((row.key, row.digest) for row in rows))


def total(connection: sqlite3.Connection) -> int:
    """The bytes of all artefacts."""
    (number,) = connection.execute("SELECT bytes FROM total").fetchone()
    if not isinstance(number, int) or number < 0:
        raise sqlite3.DatabaseError("the total is no number of bytes")
    return number


def recount(connection: sqlite3.Connection) -> int:
    """The bytes of all artefacts, counted anew: eviction must not follow a damaged total."""
    connection.execute("UPDATE total SET bytes = (SELECT coalesce(sum(size), 0) FROM artefact)")
    return total(connection)


def count(connection: sqlite3.Connection) -> dict[str, Count]:
    """The artefacts of each stage."""
    query = "SELECT stage, count(*), sum(size), min(made), max(made) FROM artefact GROUP BY stage ORDER BY stage"
    return {stage: Count(*numbers) for stage, *numbers in connection.execute(query)}


_TYPES: tuple[type | tuple[type, ...], ...] = (str, str, str, str, int, float, float, (bytes, type(None)))


def _row(values: Sequence[object]) -> Row:
    """A row whose values are of the types that were stored; a damaged table may hold others."""
    if not all(isinstance(value, kind) for value, kind in zip(values, _TYPES, strict=True)):
        raise sqlite3.DatabaseError("a row is damaged")
    return Row._make(values)
