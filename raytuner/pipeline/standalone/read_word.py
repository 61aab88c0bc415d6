"""Word files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docx

# Deletions under tracked changes, and what older programs show instead of a text box: the same text again.
LEFT_OUT = ("Fallback", "del", "moveFrom")
SHOWN = "[not(" + " or ".join(f"ancestor::*[local-name()='{name}']" for name in LEFT_OUT) + ")]"
PIECES = f".//*[local-name()='r']/*{SHOWN} | .//*[local-name()='p']{SHOWN}"
BREAKS = {"tab": "\t", "br": "\n", "cr": "\n", "p": "\n", "noBreakHyphen": "-"}


def read_word(file: Path) -> str:
    """A line for each paragraph, and for each row of a table its cells between tabs."""
    return "\n".join(lines_of(docx.Document(str(file)).element.body))


def lines_of(block: Any) -> Iterator[str]:
    """The lines of a part of the document."""
    for child in block:
        kind = kind_of(child)
        if kind == "p":
            pieces = ((kind_of(piece), piece) for piece in child.xpath(PIECES))
            yield "".join((piece.text or "") if kind == "t" else BREAKS.get(kind, "") for kind, piece in pieces)
        elif kind == "tr":
            yield "\t".join(" ".join(lines_of(cell)) for cell in child if kind_of(cell) == "tc")
        elif kind not in LEFT_OUT:
            yield from lines_of(child)


def kind_of(element: Any) -> str:
    """The name of an element."""
    return str(element.tag).rpartition("}")[2]
