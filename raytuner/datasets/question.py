"""A set of questions, with what is known of their answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """A piece of a document that answers a question.

    Attributes:
        document: The document's id, or how the file names it; empty if it does not say.
        start: The first character; None while the reference is known by its text alone.
        end: The character after the last one; None as `start`.
        text: The characters themselves, where the file holds them.
        alternative: References of one number answer the question together; each number answers it alone.
    """

    document: str
    start: int | None
    end: int | None
    text: str | None = None
    alternative: int = 0

    @property
    def span(self) -> tuple[int, int]:
        """The first character and the one after the last.

        Raises:
            ValueError: The reference has not been located: see `raytuner.datasets.fit`.
        """
        if self.start is None or self.end is None:
            raise ValueError("the reference is known by its text alone; fit the questions to their documents")
        return self.start, self.end


@dataclass(frozen=True)
class Question:
    """A question.

    Attributes:
        id: Unique in its set.
        text: The question itself.
        answer: The reference answer; empty if the question cannot be answered.
        references: The spans that answer it, or the passages that do while `fit` has not located them.
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
        missed: How many references that are known by their text alone were not found in the documents.
        lost: The ids of the questions that had references, all of which were dropped or missed; whether the questions
            are there still is for ``on_bad_span`` to say.
    """

    questions: tuple[Question, ...]
    dropped: int = 0
    missed: int = 0
    lost: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.questions)

    def __iter__(self) -> Iterator[Question]:
        return iter(self.questions)
