"""Tables whose rows are documents: CSV, JSON lines, Parquet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from raytuner import parquet
from raytuner.documents.document import Document
from raytuner.documents.text import NotDocumentsError, decode, read_bytes
from raytuner.errors import DataError

TEXT = ("text", "content", "contents", "body", "passage")
ID = ("id", "_id", "doc_id")
TITLE = ("title",)
QUESTION = ("question", "query")


def read_table(path: Path, name: str, encoding: str) -> list[Document]:
    """One document for each row.

    Its text is the column of text, under its title if it has one; of a table without such a column, all values
    with their names. A row without text gives an empty document.

    Raises:
        NotDocumentsError: It looks like a question set.
        DataError: It cannot be read, or two rows have the same id.
    """
    rows = _parquet_rows(path) if path.suffix.lower() == ".parquet" else _rows(path, encoding)
    columns = {key.lower(): key for row in rows for key in row}
    text, identifier, title = (_first(columns, names) for names in (TEXT, ID, TITLE))
    if text is None and _first(columns, QUESTION):
        raise NotDocumentsError(f"{path}: looks like a question set; name it under `questions`")
    documents: dict[str, Document] = {}
    for number, row in enumerate(rows, 1):
        own = _value(row, identifier) or f"{name}#{number}"
        if own in documents:
            raise DataError(f"{path}: row {number}: the id {own!r} is there twice; make it unique")
        content = _all(row) if text is None else _titled(_value(row, title), _text(row, text, f"{path}: row {number}"))
        documents[own] = Document(own, content, str(path))
    return list(documents.values())


def _rows(path: Path, encoding: str) -> list[Mapping[str, object]]:
    from raytuner.datasets.rows import read_rows

    return [row.values for row in read_rows(decode(path, read_bytes(path), encoding), str(path))]


def _parquet_rows(path: Path) -> Sequence[Mapping[str, object]]:
    content = read_bytes(path)
    try:
        rows: Sequence[Mapping[str, object]] = parquet.rows(content)
    except ValueError as error:
        raise DataError(f"{path}: not a Parquet file that can be read ({error!s:.200}); write it again") from None
    if not rows:
        raise DataError(f"{path}: the file holds no rows; add some")
    return rows


def _first(columns: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((columns[name] for name in names if name in columns), None)


def _text(row: Mapping[str, object], column: str, where: str) -> str:
    value = row.get(column)
    if not isinstance(value, (str, type(None))):
        raise DataError(f"{where}: {column} is {type(value).__name__}; write text there")
    return value or ""


def _titled(title: str, text: str) -> str:
    return f"{title}\n\n{text}" if title and text else title or text


def _value(row: Mapping[str, object], column: str | None) -> str:
    """A value as text; empty without one."""
    value = row.get(column) if column is not None else None
    if value is None or isinstance(value, str):
        return (value or "").strip()
    return json.dumps(value, ensure_ascii=False, default=str)


def _all(row: Mapping[str, object]) -> str:
    return "\n".join(f"{column}: {value}" for column in row if (value := _value(row, column)))
