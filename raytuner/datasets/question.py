"""A set of questions, with what is known of their answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """A piece of a document that answers a question.

    Attributes:
        document: The document's id, or how the file names it; empty if it does not say.
        start: The first character.
        end: The character after the last one.
        text: The characters themselves, where the file holds them.
        alternative: References of one number answer the question together; each number answers it alone.
    """

    document: str
    start: int
    end: int
    text: str | None = None
    alternative: int = 0


@dataclass(frozen=True)
class Question:
    """A question.

    Attributes:
        id: Unique in its set.
        text: The question itself.
        answer: The reference answer; empty if the question cannot be answered.
        references: The spans that answer it.
        documents: The ids of the relevant documents, when there are no spans.
        other_answers: Further reference answers that are as right as `answer`; the best match counts.
        answerable: Whether the documents hold an answer at all.
    """

    id: str
    text: str
    answer: str | None = None
    references: tuple[Reference, ...] = ()
    documents: tuple[str, ...] = ()
    other_answers: tuple[str, ...] = ()
    answerable: bool = True


@dataclass(frozen=True)
class QuestionSet:
    """Questions in the order of their file.

    Attributes:
        questions: The questions.
        dropped: How many reference spans were dropped because they do not fit their documents.
    """

    questions: tuple[Question, ...]
    dropped: int = 0

    def __len__(self) -> int:
        return len(self.questions)

    def __iter__(self) -> Iterator[Question]:
        return iter(self.questions)
