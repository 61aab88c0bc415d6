"""What a file is by its first bytes, whatever its name says."""

from __future__ import annotations

import re
from pathlib import Path

from raytuner.errors import DataError

WORD, PDF, PARQUET = "a Word file", "a PDF", "a Parquet file"
EXPECTED = {".docx": WORD, ".pdf": PDF, ".parquet": PARQUET}  # all other documents are text
SUFFIX = {WORD: ".docx", PDF: ".pdf", PARQUET: ".parquet"}
OTHERS = {
    "an HTML page": "rename it to {stem}.html",
    "an Excel file": "save it as CSV",
    "an old Word or Excel file": "save it as .docx or CSV",
    "a zip archive": "unpack it, or save it as text",
}
_MARKS = {b"%PDF-": PDF, b"PAR1": PARQUET, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an old Word or Excel file"}
_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*<(!doctype\s+html|html)\b", re.IGNORECASE)
# The longest first: UTF-32's begins as UTF-16's.
_UNICODE = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def check_kind(path: Path, raw: bytes) -> None:
    """Refuse a file that is of another kind than its suffix says.

    Raises:
        DataError: With what it is, and what to do.
    """
    expected = EXPECTED.get(path.suffix.lower())
    found = _kind(raw, page=expected is not None)
    if found is None and expected == PARQUET:
        raise DataError(f"{path}: not a Parquet file; give the file the suffix of what it is, or write it again")
    if expected == WORD and raw.startswith((b"PK", b"\xd0\xcf")):
        return  # whether it is broken, encrypted or old, its reader says
    if found is not None and found != expected:
        fix = f"rename it to {path.stem}{SUFFIX[found]}" if found in SUFFIX else OTHERS[found].format(stem=path.stem)
        raise DataError(f"{path}: {found}, not {expected or 'text'}; {fix}")


def unicode_mark(raw: bytes) -> str | None:
    """The encoding that a byte order mark says, where it is not UTF-8."""
    return next((name for mark, name in _UNICODE.items() if raw.startswith(mark)), None)


def _kind(raw: bytes, *, page: bool) -> str | None:
    """What a file is; a page of HTML is text too, so it is only told from what is not."""
    if raw.startswith(b"PK\x03\x04"):
        # The names of an archive's members stand in it as they are, at its end all together.
        return WORD if b"word/" in raw else "an Excel file" if b"xl/workbook" in raw else "a zip archive"
    if page and _PAGE.match(raw):
        return "an HTML page"
    return next((kind for mark, kind in _MARKS.items() if raw.startswith(mark)), None)
