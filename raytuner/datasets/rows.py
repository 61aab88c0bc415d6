"""Rows of a question file, whatever its form: JSON, JSON lines or CSV.

The form is found from the content, since file names lie.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass

from raytuner.errors import DataError

# The csv module refuses fields of more than 128 kB; references stored with their text can be longer.
FIELD_SIZE_LIMIT = 2**31 - 1
DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Row:
    """One question as the file has it; `where` is for messages, e.g. ``questions.csv: line 3``."""

    where: str
    values: Mapping[str, object]


def read_rows(text: str, file: str) -> list[Row]:
    """The rows of a question file.

    Args:
        text: The content: LlamaIndex's QueryResponseDataset, a JSON list of objects, JSON lines, or CSV
            with a header (commas, semicolons or tabs).
        file: The file's name, for messages.

    Returns:
        One row for each question; a QueryResponseDataset becomes rows of id, question and answer.

    Raises:
        DataError: The file is empty or malformed.
    """
    rows = _json_rows(text, file) if text.lstrip()[:1] in ("{", "[") else _csv_rows(text, file)
    if not rows:
        raise DataError(f"{file}: the file holds no questions or documents; add some")
    return rows


def parse_json(text: str) -> object:
    """JSON in which no key is repeated: the second value would silently win.

    Raises:
        ValueError: The text is not JSON, or repeats a key.
    """
    return json.loads(text, object_pairs_hook=_unrepeated)


def _unrepeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is there twice; make it unique")
    return values


def _json_rows(text: str, file: str) -> list[Row]:
    try:
        value = parse_json(text)
    except ValueError as error:
        if _is_json_lines(text):
            return _line_rows(text, file)
        line = f"line {error.lineno}: " if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{file}: {line}malformed JSON: {_reason(error)}") from None
    if isinstance(value, dict) and isinstance(value.get("queries"), dict):
        return _dataset_rows(value, file)
    items = value if isinstance(value, list) else [value]
    return [_row(f"{file}: item {number}", item) for number, item in enumerate(items, 1)]


def _dataset_rows(dataset: dict[str, object], file: str) -> list[Row]:
    """LlamaIndex's QueryResponseDataset: two mappings from ids, to questions and to answers."""
    queries, responses = dataset["queries"], dataset.get("responses") or {}
    if not isinstance(queries, dict) or not isinstance(responses, dict):
        raise DataError(f"{file}: `queries` and `responses` must map ids to texts")
    return [
        Row(f"{file}: query {key!r}", {"id": key, "question": query, "answer": responses.get(key)})
        for key, query in queries.items()
    ]


def _is_json_lines(text: str) -> bool:
    """Whether a line is an object by itself: then an error is that line's, not the whole file's."""
    return any(_is_object(line) for line in text.split("\n"))


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _line_rows(text: str, file: str) -> list[Row]:
    rows = []
    # Not splitlines: a JSON string may hold U+2028 and its like.
    for number, line in enumerate(text.split("\n"), 1):
        where = f"{file}: line {number}"
        if not line.strip():
            continue
        try:
            rows.append(_row(where, parse_json(line)))
        except ValueError as error:
            raise DataError(f"{where}: malformed JSON: {_reason(error)}") from None
    return rows


def _row(where: str, value: object) -> Row:
    if not isinstance(value, dict):
        raise DataError(
            f'{where}: a question is a JSON object such as {{"question": ...}}, a document one such as '
            f'{{"text": ...}}, not {value!r:.40}'
        )
    return Row(where, value)


def _reason(error: ValueError) -> str:
    return error.msg if isinstance(error, json.JSONDecodeError) else str(error)


def _csv_rows(text: str, file: str) -> list[Row]:
    csv.field_size_limit(FIELD_SIZE_LIMIT)
    header_line = text.lstrip().partition("\n")[0]
    delimiter = max(DELIMITERS, key=header_line.count)
    # strict: else a quote that is never closed swallows the rest of the file without a word.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    header: list[str] = []
    line = 1
    try:
        for fields in reader:
            where, line = f"{file}: line {line}", reader.line_num + 1
            if not any(field.strip() for field in fields):
                continue
            if header:
                rows.append(_csv_row(where, header, fields))
            else:
                header = _header(where, fields)
    except csv.Error as error:
        raise DataError(f"{file}: line {line}: malformed CSV: {error}") from None
    return rows


def _header(where: str, fields: list[str]) -> list[str]:
    names = [field.strip() for field in fields]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{where}: two columns are named {twice!r}; rename one")
    return names


def _csv_row(where: str, header: list[str], fields: list[str]) -> Row:
    if len(fields) > len(header):
        raise DataError(
            f"{where}: {len(fields)} fields, but the header names {len(header)} columns; quote fields that hold commas"
        )
    return Row(where, dict(zip(header, fields, strict=False)))
