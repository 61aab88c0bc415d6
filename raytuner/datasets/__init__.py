"""Question sets: reading, converting and fitting them to the documents; their order is in `blocks`."""

from collections.abc import Sequence
from pathlib import Path

from raytuner.datasets.convert import check_target, convert, write
from raytuner.datasets.question import Question, QuestionSet, Reference
from raytuner.datasets.reader import load
from raytuner.datasets.spans import OnBadSpan, fit
from raytuner.documents.document import Document

__all__ = [
    "OnBadSpan",
    "Question",
    "QuestionSet",
    "Reference",
    "check_target",
    "convert",
    "fit",
    "given",
    "load",
    "write",
]


def given(questions: QuestionSet | str | Path, documents: Sequence[Document] | None) -> QuestionSet:
    """A question set, or what is read from a path, fitted to the documents if there are any.

    Args:
        questions: The set, or the path of one.
        documents: The collection; None where it is not known.

    Returns:
        The questions; see `fit`.

    Raises:
        DataError: They cannot be read, or do not fit the documents.
    """
    if not isinstance(questions, QuestionSet):
        return load(questions, documents=documents)
    return questions if documents is None else fit(questions, documents)
