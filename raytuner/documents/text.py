"""Plain text and Markdown, decoded strictly."""

from __future__ import annotations

from pathlib import Path

from raytuner.documents.document import Document
from raytuner.documents.kinds import check_kind, unicode_mark
from raytuner.errors import ConfigError, DataError

FIX = "convert the file to UTF-8, or name its encoding: documents: {path: ..., encoding: cp1252}"


class NotDocumentsError(DataError):
    """A page without text, or something else than documents, which a folder may well hold."""


def read_text(path: Path, name: str, encoding: str) -> list[Document]:
    """One document with the text as it is in the file, line ends included."""
    return [Document(name, decode(path, read_bytes(path), encoding), str(path))]


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        DataError: It is empty, cannot be read, or is of another kind than its suffix says.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; check the path and its permissions") from None
    if not raw.strip():
        raise DataError(f"{path}: the file is empty; remove it or put text into it")
    check_kind(path, raw)
    return raw


def decode(path: Path, raw: bytes, encoding: str, fix: str = FIX) -> str:
    """Bytes as text, strictly.

    Args:
        path: The file, for messages.
        raw: Its content.
        encoding: A name that Python knows; ``utf-8-sig`` accepts a byte order mark.
        fix: What to do about a byte that is not of the encoding.

    Raises:
        DataError: A byte is not of the encoding, or the file is binary.
        ConfigError: There is no such encoding.
    """
    try:
        text = raw.decode(encoding)
    except LookupError:
        raise ConfigError(f"documents.encoding: Python knows no encoding {encoding!r}; try utf-8") from None
    except UnicodeError as error:
        if marked := unicode_mark(raw):
            raise DataError(
                f"{path}: {marked.upper()} by its byte order mark, not {encoding.removesuffix('-sig').upper()}; "
                f"convert the file to UTF-8, or name its encoding: documents: {{path: ..., encoding: {marked}}}"
            ) from None
        if b"\0" in raw and "16" not in encoding and "32" not in encoding:
            raise DataError(
                f"{path}: a binary file, not text: byte {raw.index(0)} is NUL; remove or rename it"
            ) from None
        place = f"byte {error.start} is" if isinstance(error, UnicodeDecodeError) else "its bytes are"
        raise DataError(f"{path}: {place} not {encoding.removesuffix('-sig').upper()}; {fix}") from None
    if "\0" in text:
        raise DataError(f"{path}: a binary file, not text: character {text.index(chr(0))} is NUL; remove or rename it")
    return text
