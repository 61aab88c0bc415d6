"""A row of a question file, and what the readers of all forms share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from raytuner.documents.kinds import unicode_mark
from raytuner.errors import ConfigError, DataError


@dataclass(frozen=True)
class Row:
    """One question as the file has it; `where` is for messages, e.g. ``questions.csv: line 3``."""

    where: str
    values: Mapping[str, object]


def decoded(content: bytes, file: str, encoding: str) -> str:
    """The text of a file, decoded strictly.

    Args:
        content: The file's bytes: text read as such would have its line ends changed, inside quoted fields too.
        file: Its name for messages.
        encoding: How it is decoded.

    Raises:
        ConfigError: Python knows no such encoding.
        DataError: The file cannot be decoded, or is empty.
    """
    try:
        text = content.decode(encoding)
    except LookupError:
        raise ConfigError(f"questions.encoding: Python knows no encoding {encoding!r}; try utf-8") from None
    except UnicodeError as error:
        marked = unicode_mark(content) or "cp1252"
        raise DataError(
            f"{file}: cannot be decoded: {error}; convert the file to UTF-8, or name its encoding: "
            f"questions: {{path: ..., encoding: {marked}}}"
        ) from None
    if not text.strip():
        raise DataError(f"{file}: the file is empty; put questions into it")
    return text


def parse_json(text: str) -> object:
    """JSON in which no key is repeated: the second value would silently win.

    Raises:
        ValueError: The text is not JSON, or repeats a key.
    """
    try:
        return json.loads(text, object_pairs_hook=_unrepeated)
    except RecursionError:
        raise ValueError("lists or objects lie too deep in each other") from None


def _unrepeated(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is there twice; make it unique")
    return values
