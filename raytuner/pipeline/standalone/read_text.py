"""Plain text and Markdown."""

from __future__ import annotations

from pathlib import Path

ENCODING = "utf-8-sig"


def read_text(file: Path) -> str:
    """The text of a file as it is, line ends included."""
    return file.read_bytes().decode(ENCODING)
