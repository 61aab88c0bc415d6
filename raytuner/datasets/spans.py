"""Question sets and documents together: which document a name means, and whether each span fits it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal, NamedTuple

from raytuner.datasets.question import Question, QuestionSet, Reference
from raytuner.errors import DataError

if TYPE_CHECKING:
    from raytuner.documents.document import Document

OnBadSpan = Literal["error", "drop"]
SHOWN = 3


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
    """Resolve the names of documents to their ids and check every span.

    A span must lie in its document, hold a character, and be the text that is stored with it, if any.

    Args:
        questions: Questions as their file has them.
        documents: The collection.
        on_bad_span: Whether a span that does not fit is an error or is dropped. A question that loses
            all its spans is dropped too.
        file: The file's name, for messages.

    Returns:
        Questions whose references and documents name documents by id.

    Raises:
        DataError: A name means no document or several, a span is bad, or none is left.
    """
    texts = {document.id: document.text for document in documents}
    find = _finder(list(texts), file)
    resolved = [_resolved(question, find) for question in questions]
    bad = [
        BadSpan(question.id, reference, fault)
        for question in resolved
        for reference in question.references
        if (fault := _fault(reference, texts[reference.document]))
    ]
    if not bad:
        return QuestionSet(tuple(resolved))
    if on_bad_span == "error":
        raise DataError(_report(bad, resolved, file))
    kept = tuple(_without_bad(resolved, bad))
    if not kept:
        raise DataError(f"{file}: no question is left: all {len(bad)} reference spans are bad, e.g. {bad[0]}")
    return QuestionSet(kept, dropped=len(bad))


def _without_bad(questions: Iterable[Question], bad: Iterable[BadSpan]) -> Iterable[Question]:
    faulty = {(span.question, span.reference) for span in bad}
    for question in questions:
        good = tuple(reference for reference in question.references if (question.id, reference) not in faulty)
        if good or not question.references:
            yield replace(question, references=good)


def _report(bad: Sequence[BadSpan], questions: Iterable[Question], file: str) -> str:
    total = sum(len(question.references) for question in questions)
    more = "; ..." if len(bad) > SHOWN else ""
    return (
        f"{file}: {len(bad)} of {total} reference spans do not fit their documents: "
        f"{'; '.join(map(str, bad[:SHOWN]))}{more}; mend them, or leave them out with "
        f"`questions: {{path: {file}, on_bad_span: drop}}`"
    )


def _fault(reference: Reference, text: str) -> str | None:
    """What is wrong with a span, if anything."""
    start, end, stored = reference.start, reference.end, reference.text
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


def _resolved(question: Question, find: Callable[[str, str], str]) -> Question:
    return replace(
        question,
        references=tuple(replace(ref, document=find(ref.document, question.id)) for ref in question.references),
        documents=tuple(dict.fromkeys(find(name, question.id) for name in question.documents)),
    )


def _finder(ids: Sequence[str], file: str) -> Callable[[str, str], str]:
    """A function from the name of a document (and the id of a question, for messages) to the document's id."""
    tables = [_table(ids, key) for key in _KEYS]

    def find(name: str, question: str) -> str:
        if not name and len(ids) == 1:
            return ids[0]
        matches: Sequence[str] = next((table[name] for table in tables if name in table), ())
        if len(matches) == 1:
            return matches[0]
        means = f"names {name!r}, which is {_how_many(len(matches))}" if name else "does not name its document"
        raise DataError(f"{file}: question {question!r} {means}; there are: {_listed(matches or ids)}")

    return find


# A document may be named by its id, its file name, or either without the extension: the first that fits counts.
_KEYS: tuple[Callable[[str], str], ...] = (
    str,
    lambda name: PurePosixPath(name).name,
    lambda name: str(PurePosixPath(name).with_suffix("")),
    lambda name: PurePosixPath(name).stem,
)


def _table(ids: Iterable[str], key: Callable[[str], str]) -> Mapping[str, Sequence[str]]:
    table: dict[str, list[str]] = defaultdict(list)
    for name in ids:
        table[key(name)].append(name)
    return table


def _how_many(matches: int) -> str:
    return f"the name of {matches} documents" if matches else "none of the documents"


def _listed(ids: Sequence[str], shown: int = 5) -> str:
    more = f", ... ({len(ids)} in all)" if len(ids) > shown else ""
    return ", ".join(islice(ids, shown)) + more
