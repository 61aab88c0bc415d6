"""A question that may become one of a set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from raytuner.datasets import Question, Reference

Kind = Literal["fact", "definition", "heading", "comparison", "unanswerable"]


@dataclass(frozen=True)
class Place:
    """A piece of a document.

    Attributes:
        document: The document's id.
        start: The first character.
        end: The character after the last one.
    """

    document: str
    start: int
    end: int


@dataclass(frozen=True)
class Draft:
    """A question with its answer and what supports it.

    Attributes:
        kind: What kind of question it is.
        question: The question.
        answer: The answer; empty if the documents do not answer it.
        places: What supports the answer; none if nothing does.
    """

    kind: Kind
    question: str
    answer: str
    places: tuple[Place, ...]


def as_question(draft: Draft, number: int, texts: Mapping[str, str]) -> Question:
    """A draft as a question of a set.

    Args:
        draft: The draft.
        number: From 1.
        texts: The texts of the documents by id.
    """
    references = tuple(
        Reference(place.document, place.start, place.end, texts[place.document][place.start : place.end])
        for place in draft.places
    )
    return Question(
        f"{draft.kind}-{number:03}", draft.question, draft.answer, references, answerable=draft.kind != "unanswerable"
    )


def words_of(text: str) -> set[str]:
    """The words of a question, to tell whether two are the same."""
    return {word.strip(".,;:?!()[]\"'").lower() for word in text.split()} - {""}


def is_repeat(question: str, others: Sequence[set[str]]) -> bool:
    """Whether a question has four fifths of its words in common with another one (Jaccard)."""
    own = words_of(question)
    return any(len(own & other) >= 0.8 * len(own | other) for other in others)
