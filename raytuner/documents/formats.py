"""The formats of documents, by the suffixes of their files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from raytuner.documents.document import Document
from raytuner.documents.html import read_html
from raytuner.documents.pdf import page_count, read_pdf
from raytuner.documents.squad import read_squad
from raytuner.documents.table import read_table
from raytuner.documents.text import NotDocumentsError, read_text
from raytuner.documents.word import read_word

Read = Callable[[Path, str, str], list[Document]]


class SlowFormat(NamedTuple):
    """A format whose reading is worth a process of its own, and to be kept.

    Attributes:
        kind: Its name, the same for all its suffixes.
        libraries: The packages that decide what is read.
        read: Reads a whole file; None for PDFs, which are read page by page.
    """

    kind: str
    libraries: tuple[str, ...]
    read: Read | None


_QUICK: dict[str, Read] = {
    **dict.fromkeys((".txt", ".text", ".md", ".markdown", ".rst"), read_text),
    **dict.fromkeys((".csv", ".tsv", ".jsonl", ".parquet"), read_table),
    ".json": read_squad,
}
PDF = ".pdf"
SLOW: dict[str, SlowFormat] = {
    **dict.fromkeys((".html", ".htm", ".xhtml"), SlowFormat("html", ("beautifulsoup4", "lxml"), read_html)),
    ".docx": SlowFormat("word", ("python-docx", "lxml"), read_word),
    PDF: SlowFormat("pdf", ("pypdf",), None),
}
SUFFIXES = (*_QUICK, *SLOW)
COLLECTIONS = (".csv", ".tsv", ".jsonl", ".parquet", ".json")  # of many documents each, with ids of their own

PAGES = 25  # of a PDF that are read together
BYTES_A_PAGE = 5_000  # of HTML or Word that take as long as a page of a PDF, about 5 ms


@dataclass(frozen=True)
class File:
    """A file to read.

    Attributes:
        path: Where it is.
        name: The id of its document, or where its rows have none, the beginning of theirs.
        named: Whether the user named it, rather than a folder or a pattern.
    """

    path: Path
    name: str
    named: bool

    @property
    def suffix(self) -> str:
        """In lower case."""
        return self.path.suffix.lower()


@dataclass(frozen=True)
class Job:
    """A file, or some pages of one, to be read in this process or another.

    Attributes:
        file: The file.
        encoding: Of text.
        pages: Of a PDF.
    """

    file: File
    encoding: str
    pages: range | None = None

    @property
    def cost(self) -> float:
        """How long it takes, in pages of a PDF."""
        if self.pages is not None:
            return len(self.pages)
        return self.file.path.stat().st_size / BYTES_A_PAGE if self.file.suffix in SLOW else 0

    def __call__(self) -> list[Document]:
        """Read it; nothing comes of a file in a folder that turns out to hold no documents."""
        file = self.file
        read = SLOW[file.suffix].read if file.suffix in SLOW else _QUICK[file.suffix]
        if read is None:
            return [read_pdf(file.path, file.name, self.pages)]
        try:
            return read(file.path, file.name, self.encoding)
        except NotDocumentsError:
            if file.named:
                raise
            return []


def jobs(files: Sequence[File], encoding: str) -> list[Job]:
    """What there is to do to read some files, in their order; a long PDF is several jobs.

    Raises:
        DataError: A PDF is broken or encrypted.
    """
    found = []
    for file in files:
        if file.suffix == PDF:
            count = page_count(file.path)
            found += [Job(file, encoding, range(a, min(a + PAGES, count))) for a in range(0, max(count, 1), PAGES)]
        else:
            found.append(Job(file, encoding))
    return found
