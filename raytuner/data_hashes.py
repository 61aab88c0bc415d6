"""What stands for documents and questions in a run folder: hashes of their texts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raytuner.datasets import Question
    from raytuner.own_objective import OwnObjective
    from raytuner.rag import RagObjective


def data_of(objective: RagObjective | OwnObjective) -> dict[str, dict[str, str]]:
    """The data of an objective.

    Returns:
        ``{"documents": {id: hash}, "questions": {id: hash}, "asked": {id: hash of the question's text alone}}``.
    """
    documents = {document.id: hashed(document.text) for document in objective.documents}
    questions = {question.id: hashed(repr(question)) for question in objective.questions}
    return {"documents": documents, "questions": questions, "asked": asked_of(objective.questions)}


def asked_of(questions: Iterable[Question]) -> dict[str, str]:
    """For each question a hash of its text, by which it is known again when its references have changed."""
    return {question.id: hashed(question.text) for question in questions}


def hashed(text: str) -> str:
    """A hash of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
