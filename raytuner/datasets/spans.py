"""Question sets and documents together: whether each span fits its document."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from raytuner.datasets.locate import Locator
from raytuner.datasets.names import Find, finder
from raytuner.datasets.question import Question, QuestionSet, Reference
from raytuner.errors import DataError

if TYPE_CHECKING:
    from raytuner.documents.document import Document

OnBadSpan = Literal["error", "drop"]
SHOWN = 3

logger = logging.getLogger("raytuner")


class BadSpan(NamedTuple):
    """A reference that does not fit its document."""

    question: str
    reference: Reference
    fault: str

    def __str__(self) -> str:
        where = f"{self.reference.document} {self.reference.start}:{self.reference.end}"
        return f"question {self.question!r} {where} {self.fault}"


def fit(
    questions: Iterable[Question],
    documents: Sequence[Document],
    on_bad_span: OnBadSpan = "error",
    file: str = "questions",
) -> QuestionSet:
    """Resolve the names of documents to their ids, check every span, and locate passages known by their text.

    A span must lie in its document, hold a character, and be the text that is stored with it, if any. A passage
    is looked for in the document it names, then in all, in their order: exactly, then but for white space; where it
    occurs several times the first place counts. Passages that are nowhere are left out with a warning.

    Args:
        questions: Questions as their file has them.
        documents: The collection.
        on_bad_span: Whether a span that does not fit is an error or is dropped. With ``drop``, a question
            that loses all its references is dropped too; else one whose passages are nowhere keeps its answer.
        file: The file's name, for messages.

    Returns:
        Questions whose references and documents name documents by id.

    Raises:
        DataError: Two questions share an id, a name means no document or several, a span is bad, or none is left.
    """
    questions = list(questions)
    _check_ids(questions, file)
    texts = {document.id: document.text for document in documents}
    find = finder(documents, file)
    resolved = _located([_resolved(question, find) for question in questions], texts)
    missed = _unlocated(resolved)
    bad = [
        BadSpan(question.id, reference, fault)
        for question in resolved
        for reference in question.references
        if (fault := _fault(reference, texts))
    ]
    if bad and on_bad_span == "error":
        raise DataError(_report(bad, resolved, file))
    kept = tuple(_without_bad(resolved, bad, drop=on_bad_span == "drop"))
    if resolved and not kept:
        why = f"all {len(bad)} reference spans are bad, e.g. {bad[0]}" if bad else "no reference is in the documents"
        raise DataError(f"{file}: no question is left: {why}")
    lost = _lost(resolved, bad)
    if missed:
        _warn(missed, file, len(lost), drop=on_bad_span == "drop")
    return QuestionSet(kept, dropped=len(bad), missed=len(missed), lost=lost)


def _check_ids(questions: Iterable[Question], file: str) -> None:
    """Refuse repeated ids; those of a file are found, with their lines, when it is read."""
    for name, times in Counter(question.id for question in questions).items():
        if times > 1:
            raise DataError(f"{file}: {times} questions have the id {name!r}; make it unique")


def _located(questions: list[Question], texts: Mapping[str, str]) -> list[Question]:
    """The questions with places for the passages that are somewhere in the documents."""
    if not _unlocated(questions):
        return questions
    locator = Locator(texts)

    def locate(reference: Reference) -> Reference:
        found = locator.find(reference.text or "", reference.document) if reference.start is None else None
        if found is None:
            return reference
        document, start, end = found
        return replace(reference, document=document, start=start, end=end, text=texts[document][start:end])

    return [replace(question, references=tuple(map(locate, question.references))) for question in questions]


def _unlocated(questions: Iterable[Question]) -> list[str]:
    """The ids of questions, once for each of their references that has no place."""
    return [question.id for question in questions for reference in question.references if reference.start is None]


def _warn(missed: Sequence[str], file: str, lost: int, *, drop: bool) -> None:
    questions = list(dict.fromkeys(missed))
    fate = "were dropped" if drop else "are without any other, and `on_bad_span: drop` would leave them out"
    logger.warning(
        "%s: %d references, of %d questions, are nowhere in the documents and were left out (%s%s)%s",
        file,
        len(missed),
        len(questions),
        ", ".join(questions[:SHOWN]),
        ", ..." if len(questions) > SHOWN else "",
        f"; {lost} questions {fate}" if lost else "",
    )


def _good(questions: Iterable[Question], bad: Iterable[BadSpan]) -> Iterator[tuple[Question, tuple[Reference, ...]]]:
    """The questions, each with those of its references that have a place and fit."""
    faulty = {(span.question, span.reference) for span in bad}
    for question in questions:
        yield (
            question,
            tuple(
                reference
                for reference in question.references
                if reference.start is not None and (question.id, reference) not in faulty
            ),
        )


def _without_bad(questions: Iterable[Question], bad: Iterable[BadSpan], drop: bool) -> Iterator[Question]:
    for question, good in _good(questions, bad):
        if good or not question.references or not drop:
            yield replace(question, references=good)


def _lost(questions: Iterable[Question], bad: Iterable[BadSpan]) -> tuple[str, ...]:
    """The ids of the questions that had references, of which none is good."""
    return tuple(question.id for question, good in _good(questions, bad) if question.references and not good)


def _report(bad: Sequence[BadSpan], questions: Iterable[Question], file: str) -> str:
    total = sum(len(question.references) for question in questions)
    more = "; ..." if len(bad) > SHOWN else ""
    return (
        f"{file}: {len(bad)} of {total} reference spans do not fit their documents: "
        f"{'; '.join(map(str, bad[:SHOWN]))}{more}; mend them, or leave them out with "
        f"`questions: {{path: {file}, on_bad_span: drop}}`"
    )


def _fault(reference: Reference, texts: Mapping[str, str]) -> str | None:
    """What is wrong with a span, if anything; a passage without a place has none that could be wrong."""
    if reference.start is None:
        return None
    text, stored = texts[reference.document], reference.text
    start, end = reference.span
    if start >= end:
        return "is empty"
    if start < 0:
        return "starts before the document"
    if end > len(text):
        return f"ends after the document's {len(text)} characters"
    if stored is not None and text[start:end] != stored:
        return f"is {_excerpt(text[start:end])}, not {_excerpt(stored)}"
    return None


def _excerpt(text: str, length: int = 30) -> str:
    return repr(text if len(text) <= length else text[:length] + "...")


def _resolved(question: Question, find: Find) -> Question:
    def resolved(reference: Reference) -> Reference:
        if reference.start is None and not reference.document:
            return reference  # it is looked for in all documents
        return replace(reference, document=find(reference.document, question.id))

    return replace(
        question,
        references=tuple(map(resolved, question.references)),
        documents=tuple(dict.fromkeys(find(name, question.id) for name in question.documents)),
    )
