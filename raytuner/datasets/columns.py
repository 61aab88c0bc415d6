"""From rows to questions: which column is which, and what a cell may hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from raytuner.datasets.question import Question, Reference
from raytuner.datasets.row import Row, parse_json
from raytuner.errors import ConfigError, DataError, nearest

# Our name of a column, and the names by which it is found in a file, in any case: the first that is there wins.
COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "id": ("id", "question_id", "qid"),
        "question": ("question", "query"),
        "answer": ("answer", "reference_answer", "ground_truth", "response", "generation_gt"),
        "other_answers": ("other_answers",),
        "answerable": ("answerable",),
        "references": ("references",),
        "reference_contexts": ("reference_contexts",),
        "document": ("document", "corpus_id", "doc_id", "document_id", "documents", "retrieval_gt"),
        "start_index": ("start_index",),
        "end_index": ("end_index",),
        "content": ("content",),
    }
)

# What is said where a file is in none of them.
FORMS = (
    "CSV, Parquet, JSON lines or a JSON list with a column 'question'; SQuAD; LlamaIndex's LabelledRagDataset or "
    "QueryResponseDataset; a BEIR or AutoRAG folder"
)
# A passage or the name of a document may begin with a bracket, too: "[1] shows", "[draft] plan.md".
_JSON = re.compile(r"\s*(\[\s*[\[{\"'\]]|\{\s*[\"'])")
_TRUTH = {"true": True, "yes": True, "1": True, "1.0": True, "false": False, "no": False, "0": False, "0.0": False}


def to_questions(rows: list[Row], columns: Mapping[str, str] | None, file: str) -> tuple[Question, ...]:
    """Turn the rows of a file into questions.

    Args:
        rows: The rows.
        columns: From our names of columns (`COLUMNS`) to the file's, where they differ.
        file: The file's name, for messages.

    Returns:
        The questions; those without an id are named by their place, q01, q02, ...

    Raises:
        ConfigError: `columns` has a name that is not ours.
        DataError: A column is missing, or a row does not hold what it should.
    """
    names = _find_columns(rows, columns or {}, file)
    width = len(str(len(rows)))
    questions = [_question(_Cells(row, names), f"q{number:0{width}}") for number, row in enumerate(rows, 1)]
    first: dict[str, str] = {}
    for question, row in zip(questions, rows, strict=True):
        if question.id in first:
            other = first[question.id].removeprefix(f"{file}: ")
            raise DataError(f"{row.where}: question id {question.id!r} is taken, see {other}; make it unique")
        first[question.id] = row.where
    return tuple(questions)


def _find_columns(rows: Iterable[Row], columns: Mapping[str, str], file: str) -> dict[str, str]:
    """From our names to the file's, for the columns that are there."""
    there = list(dict.fromkeys(name for row in rows for name in row.values))
    for ours, theirs in columns.items():
        if ours not in COLUMNS:
            raise ConfigError(f"questions.columns: unknown name {ours!r}; {nearest(ours, COLUMNS)}")
        if theirs not in there:
            raise DataError(f"{file}: no column {theirs!r} (for {ours!r}); there are: {_shown(there)}")
    spelt = {name.lower(): name for name in reversed(there)} | {name: name for name in there}
    found = {ours: next((spelt[name] for name in names if name in spelt), None) for ours, names in COLUMNS.items()}
    names = {ours: theirs for ours, theirs in (found | dict(columns)).items() if theirs is not None}
    if "question" not in names:
        raise DataError(
            f"{file}: in no known form: no column 'question'; there are: {_shown(there)}; name it with "
            f"`questions: {{path: {file}, columns: {{question: NAME}}}}`, or use a known form: {FORMS}"
        )
    return names


def _shown(names: Sequence[str], most: int = 12) -> str:
    """Names of columns; those of a file that is no table may be whole paragraphs."""
    short = [" ".join(name.split())[:30] for name in names[:most]]
    return ", ".join(short) + (", ..." if len(names) > most else "")


@dataclass(frozen=True)
class _Cells:
    """The cells of a row by our names; blank ones are None."""

    row: Row
    names: Mapping[str, str]

    def get(self, name: str) -> object:
        value = self.row.values.get(self.names.get(name, ""))
        # Data frames write what is missing as NaN, the only value that differs from itself.
        return None if value != value or (isinstance(value, str) and not value.strip()) else value  # noqa: PLR0124

    def text(self, name: str) -> str | None:
        value = self.get(name)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        raise DataError(f"{self.row.where}: {self.names[name]!r} must be text, not {value!r:.40}")

    def listed(self, name: str) -> list[object] | None:
        """A list, or the JSON text of one as CSV holds it."""
        value = self.get(name)
        where = f"{self.row.where}: {self.names.get(name)!r}"
        if isinstance(value, str):
            if value.lstrip()[:1] not in ("[", "{"):
                raise DataError(f'{where} must be a list, written as JSON: ["..."], not {value!r:.40}')
            try:
                value = parse_json(value)
            except ValueError as error:
                reason = f'{error}; write the list as JSON, with double quotes: ["..."]'
                raise DataError(f"{where} is malformed JSON: {reason}") from None
        if value is None or isinstance(value, list):
            return value
        raise DataError(f"{where} must be a list, not {value!r:.40}")

    def flag(self, name: str) -> bool | None:
        """A truth value, or its name as CSV holds it."""
        value = self.get(name)
        if value is None or str(value).lower() in _TRUTH:
            return None if value is None else _TRUTH[str(value).lower()]
        raise DataError(f"{self.row.where}: {self.names[name]!r} must be true or false, not {value!r:.40}")

    def texts(self, name: str) -> list[str]:
        """The texts of a list, the blank ones left out."""
        values = self.listed(name) or []
        if not all(value is None or isinstance(value, str) for value in values):
            raise DataError(f"{self.row.where}: {self.names[name]!r} must be a list of texts, not {values!r:.60}")
        return [value for value in values if isinstance(value, str) and value.strip()]


def _question(cells: _Cells, default_id: str) -> Question:
    text = cells.text("question")
    if text is None:
        raise DataError(f"{cells.row.where}: the question is empty; write it or remove the row")
    documents = _documents(cells)
    if cells.flag("answerable") is False:
        return Question(cells.text("id") or default_id, text, "", documents=documents, answerable=False)
    references = _references(cells, documents)
    answers = _answers(cells)
    return Question(
        id=cells.text("id") or default_id,
        text=text,
        answer=answers[0] if answers else None,
        references=references,
        documents=() if references else documents,
        other_answers=tuple(answers[1:]),
    )


def _answers(cells: _Cells) -> list[str]:
    """All right answers; the cell of the answer may itself list several."""
    if isinstance(cells.get("answer"), list):
        first = cells.texts("answer")
    else:
        only = cells.text("answer")
        first = [] if only is None else [only]
    return list(dict.fromkeys([*first, *cells.texts("other_answers")]))


def _documents(cells: _Cells) -> tuple[str, ...]:
    """The documents of a question: a name, a list of names (or of lists of them), or its JSON text."""
    value = cells.get("document")
    if not isinstance(value, list) and not (isinstance(value, str) and _JSON.match(value)):
        name = cells.text("document")
        return () if name is None else (name,)
    names = list(_flat(cells.listed("document") or []))
    if not all(isinstance(name, str) and name.strip() for name in names):
        raise DataError(
            f"{cells.row.where}: {cells.names['document']!r} must list names of documents, not {names!r:.60}"
        )
    return tuple(dict.fromkeys(str(name) for name in names))


def _flat(values: Iterable[object]) -> Iterator[object]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _references(cells: _Cells, documents: tuple[str, ...]) -> tuple[Reference, ...]:
    """The references of a question: a list of them, passages, or one span in columns of its own."""
    items = _passage(cells, "references") or cells.listed("references")
    items = items or _passage(cells, "reference_contexts") or list(cells.texts("reference_contexts"))
    if not items:
        flat = {name: cells.get(name) for name in ("start_index", "end_index", "content")}
        items = [flat] if any(value is not None for value in flat.values()) else []
    return tuple(_reference(item, documents, cells.row.where) for item in items)


def _passage(cells: _Cells, name: str) -> list[object] | None:
    """The text of a single passage, where a cell holds that in place of a list."""
    value = cells.get(name)
    return [value] if isinstance(value, str) and not _JSON.match(value) else None


def _reference(item: object, documents: tuple[str, ...], where: str) -> Reference:
    if isinstance(item, str) and item.strip():
        item = {"content": item}
    if not isinstance(item, dict):
        raise DataError(
            f"{where}: a reference is an object with start_index and end_index, or a passage, not {item!r:.40}"
        )
    text = item.get("content")
    if text is not None and not isinstance(text, str):
        raise DataError(f"{where}: a reference's content must be text, not {text!r:.40}")
    number = item.get("alternative")
    alternative = 0 if number is None else _offset(number, "alternative", where)
    offsets = [item.get(name) for name in ("start_index", "end_index")]
    if offsets == [None, None] and text and text.strip():
        # Of several documents any may hold the passage.
        likely = documents if len(documents) == 1 else ()
        return Reference(_document_of(item, likely, where), None, None, text, alternative)
    start, end = (_offset(value, f"{name}_index", where) for name, value in zip(("start", "end"), offsets, strict=True))
    return Reference(_document_of(item, documents, where), start, end, text or None, alternative)


def _document_of(item: Mapping[str, object], documents: tuple[str, ...], where: str) -> str:
    """The document that a reference names itself, else the question's; empty if neither does."""
    own = next((item[name] for name in COLUMNS["document"] if item.get(name) not in (None, "")), None)
    if own is not None:
        return str(own)
    if len(documents) > 1:
        raise DataError(f'{where}: a reference must name one of the {len(documents)} documents: add "document" to it')
    return documents[0] if documents else ""


def _offset(value: object, name: str, where: str) -> int:
    """A character offset; spreadsheets and data frames may have turned it into text or into 12.0."""
    try:
        number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else float("nan")
    except (ValueError, OverflowError):
        number = float("nan")
    if not number.is_integer():
        raise DataError(f"{where}: {name} must be a whole number, not {value!r:.40}")
    return int(number)
