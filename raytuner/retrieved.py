"""What a configuration finds for a question, with its place, so that it can be cited."""

from __future__ import annotations

from dataclasses import dataclass

from raytuner.documents.document import Document


@dataclass(frozen=True)
class Retrieved:
    """A piece of a document that was retrieved.

    Attributes:
        document: The document's id.
        start: Its first character in the document.
        end: The character after its last one.
        text: Its text.
        score: The retriever's score, or the reranker's.
        source: The file of the document, where there is one.
        page: The page on which it begins, counted from 1, where the document has pages.
    """

    document: str
    start: int
    end: int
    text: str
    score: float
    source: str | None = None
    page: int | None = None

    @classmethod
    def of(cls, document: Document, start: int, end: int, score: float) -> Retrieved:
        """A piece of a document.

        Args:
            document: The document.
            start: Its first character.
            end: The character after its last one.
            score: What it was ranked by.
        """
        text = document.text[start:end]
        return cls(document.id, start, end, text, score, document.source, document.page(start))

    @property
    def citation(self) -> str:
        """Where it stands, e.g. ``report.pdf, page 12``."""
        return self.document if self.page is None else f"{self.document}, page {self.page}"

    def __str__(self) -> str:
        return f"[{self.citation}, {self.start}:{self.end}, {self.score:.4g}] {self.text}"
