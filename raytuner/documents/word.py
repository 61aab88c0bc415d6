"""Word files (.docx): paragraphs and tables in the order of the document."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raytuner.documents.document import Document
from raytuner.documents.text import NotDocumentsError, read_bytes
from raytuner.errors import DataError

# Deletions under tracked changes, and what older programs show instead of a text box: the same text again.
_LEFT_OUT = ("Fallback", "del", "moveFrom")
_SHOWN = "[not(" + " or ".join(f"ancestor::*[local-name()='{name}']" for name in _LEFT_OUT) + ")]"
_PIECES = f".//*[local-name()='r']/*{_SHOWN} | .//*[local-name()='p']{_SHOWN}"
_BREAKS = {"tab": "\t", "br": "\n", "cr": "\n", "p": "\n", "noBreakHyphen": "-"}


def read_word(path: Path, name: str, encoding: str) -> list[Document]:
    """One document: a line for each paragraph and heading, and for each row of a table its cells between tabs.

    python-docx gives a paragraph without its insertions under tracked changes and content controls, so the text is
    taken from the XML itself.
    """
    import docx

    read_bytes(path)
    try:
        text = "\n".join(_lines(docx.Document(str(path)).element.body))
    except Exception as error:  # of zipfile, lxml and python-docx
        raise DataError(
            f"{path}: not a Word file that can be read ({type(error).__name__}: broken, encrypted, or an old .doc); "
            "save it again as .docx"
        ) from None
    if not text.strip():
        raise NotDocumentsError(f"{path}: the Word file holds no text; remove it or put text into it")
    return [Document(name, text, str(path))]


def _lines(block: Any) -> Iterator[str]:
    for child in block:
        kind = _kind(child)
        if kind == "p":
            yield _paragraph(child)
        elif kind == "tr":
            yield "\t".join(" ".join(_lines(cell)) for cell in child if _kind(cell) == "tc")
        elif kind not in _LEFT_OUT:
            yield from _lines(child)


def _paragraph(paragraph: Any) -> str:
    pieces = ((_kind(piece), piece) for piece in paragraph.xpath(_PIECES))
    return "".join((piece.text or "") if kind == "t" else _BREAKS.get(kind, "") for kind, piece in pieces)


def _kind(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]
