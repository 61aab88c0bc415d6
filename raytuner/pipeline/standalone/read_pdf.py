"""PDF."""

from __future__ import annotations

from pathlib import Path

from pypdf import PdfReader


def read_pdf(file: Path) -> str:
    """The text of all pages, each in lines of its own."""
    reader = PdfReader(file)
    if reader.is_encrypted:
        reader.decrypt("")
    pages = (page.extract_text().replace("\0", "") for page in reader.pages)
    text = "\n".join(page.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for page in pages)
    return text.replace("\ufffd", " ")  # characters of a font that says not which they are
