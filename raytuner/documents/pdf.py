"""PDF: the text layer, page by page."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from raytuner.documents.document import Document
from raytuner.documents.text import read_bytes
from raytuner.errors import DataError

if TYPE_CHECKING:
    from pypdf import PdfReader


def read_pdf(path: Path, name: str, pages: range | None = None) -> Document:
    """A document with the text of some pages.

    Args:
        path: The file.
        name: The id of the document.
        pages: Which pages, from 0; by default all.

    Returns:
        The pages, each followed by a line break; without text if none of them has any, see `check_pdf`.

    Raises:
        DataError: The file is broken or encrypted.
    """
    reader = _open(path)
    texts = [_page_text(reader, path, number) for number in pages or range(len(reader.pages))]
    return join([Document(name, text, str(path), (0,)) for text in texts] or [Document(name, "", str(path))])


def page_count(path: Path) -> int:
    """How many pages a PDF has.

    Raises:
        DataError: The file is broken or encrypted.
    """
    return len(_open(path).pages)


def join(parts: list[Document]) -> Document:
    """Documents with pages as one, in their order, with a line break after each but the last."""
    pages: list[int] = []
    start = 0
    for part in parts:
        pages += [start + page for page in part.pages]
        start += len(part.text) + 1
    return Document(parts[0].id, "\n".join(part.text for part in parts), parts[0].source, tuple(pages))


def check_pdf(document: Document) -> Document:
    """Refuse a PDF without text; say what is missing from one with less than it shows.

    Args:
        document: The whole PDF.

    Returns:
        The document, with spaces in place of characters that cannot be read.

    Raises:
        DataError: No page has text.
    """
    ends = (*document.pages[1:], len(document.text))
    blank = sum(not document.text[a:b].strip() for a, b in zip(document.pages, ends, strict=True))
    if blank == len(document.pages):
        raise DataError(
            f"{document.source}: a PDF without text on its {blank} pages, so probably scanned; it needs OCR first, "
            "e.g. by ocrmypdf"
        )
    logger = logging.getLogger("raytuner")
    if blank:
        logger.warning("%s: %d of %d pages hold no text; if they are scanned, run OCR first", *_where(document, blank))
    unknown = document.text.count("\ufffd")
    if unknown:
        logger.warning("%s: %d characters are of a font that says not which they are", document.source, unknown)
    return Document(document.id, document.text.replace("\ufffd", " "), document.source, document.pages)


def _where(document: Document, blank: int) -> tuple[str | None, int, int]:
    return document.source, blank, len(document.pages)


def _open(path: Path) -> PdfReader:
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, FileNotDecryptedError

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # it tells of every flaw it mends
    read_bytes(path)
    try:
        reader = PdfReader(path)
        # Many a PDF is encrypted with an empty password, only to forbid printing.
        locked = reader.is_encrypted and not reader.decrypt("")
        len(reader.pages)
    except (DependencyError, FileNotDecryptedError):
        locked = True
    except Exception as error:  # pypdf raises nearly anything on a broken file
        raise DataError(
            f"{path}: a broken PDF ({type(error).__name__}); open it and save it again, or remove it"
        ) from None
    if locked:
        raise DataError(f"{path}: an encrypted PDF; save it without its password, e.g. by qpdf --decrypt")
    return reader


def _page_text(reader: PdfReader, path: Path, number: int) -> str:
    try:
        text = reader.pages[number].extract_text()
    except Exception as error:
        raise DataError(
            f"{path}: page {number + 1} cannot be read ({type(error).__name__}); save the PDF again or remove the page"
        ) from None
    # Halves of surrogate pairs cannot be written as UTF-8.
    return text.replace("\0", "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
