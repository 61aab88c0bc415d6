"""A file of questions that a person can edit, and read back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from raytuner.datasets.locate import Locator
from raytuner.documents.document import Document
from raytuner.errors import DataError
from raytuner.generation.draft import Draft, Kind, Place

HEAD = """\
# Questions to look through. Set keep: false for those that are not good; correct the others. A quote has to be in its
# document, character by character but for white space. Then: raytuner generate DOCS --from-review THIS --out FILE
"""


class Quote(BaseModel):
    """What supports an answer; `start` says where it begins, if that is not where it stands first."""

    model_config = ConfigDict(extra="forbid", strict=True)

    document: str
    text: str
    start: int | None = None


class Entry(BaseModel):
    """One question."""

    model_config = ConfigDict(extra="forbid", strict=True)

    keep: bool = True
    kind: Kind = "fact"
    question: str = Field(min_length=1)
    answer: str = ""
    quotes: list[Quote] = Field(default_factory=list)


def review_text(drafts: Sequence[Draft], texts: Mapping[str, str]) -> str:
    """The file for some questions.

    Args:
        drafts: The questions.
        texts: The texts of the documents by id.
    """
    entries = [
        {
            "keep": True,
            "kind": draft.kind,
            "question": draft.question,
            "answer": draft.answer,
            "quotes": [_quote(place, texts[place.document]) for place in draft.places],
        }
        for draft in drafts
    ]
    return HEAD + yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=120)


def _quote(place: Place, text: str) -> dict[str, Any]:
    found = text[place.start : place.end]
    where = {} if text.find(found) == place.start else {"start": place.start}
    return {"document": place.document, "text": found, **where}


def read_review(path: Path, documents: Sequence[Document]) -> list[Draft]:
    """The questions of a file that are to be kept, each quote found again.

    Raises:
        DataError: The file cannot be read, an entry is not one, or a quote is not in its document.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{path}: {' '.join(str(error).split())[:200]}; correct the file") from None
    if not isinstance(found, list):
        raise DataError(f"{path}: it must be a list of questions, as raytuner generate --review writes it")
    texts = {document.id: document.text for document in documents}
    drafts = [_draft(f"{path}: question {number}", entry, texts) for number, entry in enumerate(found, 1)]
    return [draft for draft in drafts if draft is not None]


def _draft(where: str, given: Any, texts: Mapping[str, str]) -> Draft | None:
    try:
        entry = Entry.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise DataError(f"{where}: {key}: {first['msg'].lower()}; correct it, or set keep: false") from None
    if not entry.keep:
        return None
    if not entry.question.strip():
        raise DataError(f"{where}: the question is blank; write one, or set keep: false")
    places = tuple(_place(where, quote, texts) for quote in entry.quotes)
    if entry.kind != "unanswerable" and not places:
        raise DataError(f"{where} has no quote; add one, or make its kind unanswerable")
    return Draft(entry.kind, entry.question, "" if entry.kind == "unanswerable" else entry.answer, places)


def _place(where: str, quote: Quote, texts: Mapping[str, str]) -> Place:
    if quote.document not in texts:
        raise DataError(f"{where}: there is no document {quote.document!r}")
    text, start = texts[quote.document], quote.start
    if start is not None and text[start : start + len(quote.text)] == quote.text:
        return Place(quote.document, start, start + len(quote.text))
    found = Locator({quote.document: text}).find(quote.text)
    if found is None:
        raise DataError(f"{where}: a quote is not in {quote.document!r}; copy it from the document")
    return Place(*found)
