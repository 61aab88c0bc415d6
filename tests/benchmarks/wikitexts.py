"""The wikitexts of chroma-chunking: one document, and questions whose answers are exact spans of it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from raytuner import datasets
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents

NAME = "wikitexts"
HELP = "a folder with questions.csv and corpora/wikitexts.md"


class Wikitexts(NamedTuple):
    """The document and its first questions."""

    document: Document
    questions: datasets.QuestionSet

    def spans(self) -> list[list[tuple[int, int]]]:
        """For each question the spans that answer it."""
        return [[reference.span for reference in question.references] for question in self.questions]


def load(data: Path, count: int) -> Wikitexts:
    """Read the document and its first `count` questions."""
    (document,) = load_documents(data / "corpora" / f"{NAME}.md")
    asked = datasets.load(data / "questions.csv")
    own = [q for q in asked if any(reference.document == NAME for reference in q.references)]
    return Wikitexts(document, datasets.QuestionSet(tuple(own[:count])))
