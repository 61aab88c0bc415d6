"""Rows of a question file, whatever its form: JSON, JSON lines or CSV.

The form is found from the content, since file names lie.
"""

from __future__ import annotations

import csv
import io
import json

from raytuner.datasets.forms import rows_of_object
from raytuner.datasets.row import Row, parse_json
from raytuner.errors import DataError

# The csv module refuses fields of more than 128 kB; references stored with their text can be longer.
FIELD_SIZE_LIMIT = 2**31 - 1
DELIMITERS = ",;\t"


def read_rows(text: str, file: str) -> list[Row]:
    """The rows of a question file.

    Args:
        text: The content: an object of one of the known forms, a JSON list of objects, JSON lines, or CSV
            with a header (commas, semicolons or tabs).
        file: The file's name, for messages.

    Returns:
        One row for each question.

    Raises:
        DataError: The file is empty or malformed.
    """
    if text.lstrip().startswith("<"):
        raise DataError(f"{file}: HTML or XML, not a question set or a table; download or export it again")
    rows = _json_rows(text, file) if text.lstrip()[:1] in ("{", "[") else _csv_rows(text, file)
    if not rows:
        raise DataError(f"{file}: the file holds no questions or documents; add some")
    return rows


def line_rows(text: str, file: str) -> list[Row]:
    """The rows of JSON lines.

    Raises:
        DataError: A line is no JSON object.
    """
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


def _json_rows(text: str, file: str) -> list[Row]:
    try:
        value = parse_json(text)
    except ValueError as error:
        if _is_json_lines(text):
            return line_rows(text, file)
        line = f"line {error.lineno}: " if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{file}: {line}malformed JSON: {_reason(error)}") from None
    known = rows_of_object(value, file) if isinstance(value, dict) else None
    if known is not None:
        return known
    items = value if isinstance(value, list) else [value]
    return [_row(f"{file}: item {number}", item) for number, item in enumerate(items, 1)]


def _is_json_lines(text: str) -> bool:
    """Whether a line is an object by itself: then an error is that line's, not the whole file's."""
    return any(_is_object(line) for line in text.split("\n"))


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


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
