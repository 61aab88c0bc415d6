"""Question sets from one form into another."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from raytuner import parquet
from raytuner.datasets.question import Question, Reference
from raytuner.datasets.reader import load
from raytuner.documents.document import Document
from raytuner.errors import ConfigError, DataError, nearest

logger = logging.getLogger("raytuner")

# The columns of what is written, in their order; lists are absent where they are empty.
COLUMNS = ("id", "question", "answer", "other_answers", "answerable", "document", "references")
SUFFIXES = MappingProxyType({".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet", ".json": "labelled-rag"})


def convert(
    source: str | Path,
    target: str | Path,
    *,
    documents: str | Path | Sequence[str | Path] | Sequence[Document] | None = None,
    form: str | None = None,
    force: bool = False,
) -> int:
    """Write a question set in another form.

    ``jsonl``, ``csv`` and ``parquet`` keep everything that raytuner knows of a question. ``labelled-rag``,
    LlamaIndex's LabelledRagDataset, has neither ids nor alternatives, document names or unanswerable questions; it
    holds the texts of the references. ``query-response``, its QueryResponseDataset, has ids, questions and answers.

    Args:
        source: A question set in any form that `load` reads.
        target: The file to write.
        documents: The collection, or paths to load it from: spans are checked, texts of references filled in,
            passages without a place located. A BEIR or AutoRAG folder brings its own.
        form: One of ``jsonl``, ``csv``, ``parquet``, ``labelled-rag`` and ``query-response``; by default what the
            suffix of `target` means: .jsonl, .csv, .parquet, .json.
        force: Whether an existing file is replaced.

    Returns:
        How many questions were written.

    Raises:
        ConfigError: The form is unknown.
        DataError: The source cannot be read, the target exists or cannot be written, or a text that the form needs is
            not known.
    """
    _writer(Path(target), form)
    if Path(target).exists() and not force:
        raise DataError(f"{target}: the file exists; name another, or replace it with --force")
    collection = _collection(source, documents)
    questions = load(source, documents=collection)
    texts = {document.id: document.text for document in collection or ()}
    write(list(questions), Path(target), texts, form=form, force=force)
    return len(questions)


def check_target(target: Path, form: str | None = None) -> None:
    """Refuse a file that questions could not be written to.

    Args:
        target: The file.
        form: See `convert`.

    Raises:
        ConfigError: The form is unknown, and the file's name does not say it.
        DataError: There is no folder for it.
    """
    _writer(target, form)
    if not target.absolute().parent.is_dir():
        raise DataError(f"{target}: there is no folder {target.parent}; make it, or name another file")


def write(
    questions: Sequence[Question],
    target: Path,
    texts: Mapping[str, str],
    *,
    form: str | None = None,
    force: bool = False,
) -> None:
    """Write questions to a file.

    Args:
        questions: The questions.
        target: The file.
        texts: The texts of their documents by id.
        form: See `convert`.
        force: Whether an existing file is replaced.

    Raises:
        ConfigError: The form is unknown.
        DataError: The file exists or cannot be written, or a text that the form needs is not known.
    """
    content = _writer(target, form)([_filled(question, texts) for question in questions], texts)
    if target.exists() and not force:
        raise DataError(f"{target}: the file exists; name another, or replace it with --force")
    try:
        target.write_bytes(content)
    except OSError as error:
        raise DataError(f"{target}: {error.strerror}; name a file that can be written") from None


_Writer = Callable[[Sequence[Question], Mapping[str, str]], bytes]


def _writer(target: Path, form: str | None) -> _Writer:
    if form is None and target.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{target}: no form has the suffix {target.suffix!r}; use {', '.join(SUFFIXES)}, or say --to")
    name = form or SUFFIXES[target.suffix.lower()]
    if name not in _WRITERS:
        raise ConfigError(f"--to: unknown form {name!r}; {nearest(name, _WRITERS)}")
    return _WRITERS[name]


def _collection(source: str | Path, documents: Any) -> Sequence[Document] | None:
    """The documents: those that are given, else those that come with the questions."""
    from raytuner.documents.load import load_documents

    if documents is None:
        named = Path(source).expanduser()
        folder = named.parent if named.name == "qa.parquet" else named
        carries = any((folder / name).is_file() for name in ("corpus.jsonl", "corpus.parquet"))
        return load_documents(folder) if carries else None
    if isinstance(documents, (str, Path)) or not all(isinstance(document, Document) for document in documents):
        return load_documents(documents)
    return list(documents)


def _filled(question: Question, texts: Mapping[str, str]) -> Question:
    """The question with the texts of its references, as far as they are known."""

    def filled(reference: Reference) -> Reference:
        if reference.text is not None or reference.document not in texts:
            return reference
        start, end = reference.span
        return replace(reference, text=texts[reference.document][start:end])

    return replace(question, references=tuple(map(filled, question.references)))


def _as_row(question: Question) -> dict[str, Any]:
    """A question by the names of raytuner's columns, without what is empty."""
    values = {
        "id": question.id,
        "question": question.text,
        "answer": question.answer,
        "other_answers": list(question.other_answers),
        "answerable": None if question.answerable else False,
        "document": list(question.documents),
        "references": list(map(_as_object, question.references)),
    }
    return {name: value for name, value in values.items() if value not in (None, "", [])}


def _as_object(reference: Reference) -> dict[str, Any]:
    values = {
        "document": reference.document or None,
        "start_index": reference.start,
        "end_index": reference.end,
        "content": reference.text,
        "alternative": reference.alternative or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def _json_lines(questions: Iterable[Question], _texts: Mapping[str, str]) -> bytes:
    return "".join(_json(_as_row(question)) + "\n" for question in questions).encode()


def _csv(questions: Iterable[Question], _texts: Mapping[str, str]) -> bytes:
    stream = io.StringIO(newline="")
    # All quoted: the writer itself leaves some characters bare that the reader takes for line ends.
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    for question in questions:
        row = _as_row(question)
        writer.writerow({name: value if isinstance(value, str) else _json(value) for name, value in row.items()})
    return stream.getvalue().encode()


def _parquet(questions: Iterable[Question], _texts: Mapping[str, str]) -> bytes:
    import pyarrow

    text, number = pyarrow.string(), pyarrow.int64()
    reference = {
        "document": text,
        "start_index": number,
        "end_index": number,
        "content": text,
        "alternative": number,
    }
    lists = {"other_answers": text, "document": text, "references": pyarrow.struct(list(reference.items()))}
    schema = pyarrow.schema(
        [
            (name, pyarrow.list_(lists[name]) if name in lists else pyarrow.bool_() if name == "answerable" else text)
            for name in COLUMNS
        ]
    )
    return parquet.content(pyarrow.Table.from_pylist([_as_row(question) for question in questions], schema=schema))


def _labelled_rag(questions: Sequence[Question], texts: Mapping[str, str]) -> bytes:
    poorer = sum(
        not question.answerable or bool(question.other_answers) or len(_alternatives(question)) > 1
        for question in questions
    )
    if poorer:
        logger.warning(
            "LabelledRagDataset has no place for further answers or for questions that cannot be answered; "
            "%d questions lose them",
            poorer,
        )
    examples = [
        {
            "query": question.text,
            "query_by": None,
            "reference_contexts": _contexts(question, texts),
            "reference_answer": question.answer or "",
            "reference_answer_by": None,
        }
        for question in questions
    ]
    return (json.dumps({"examples": examples}, ensure_ascii=False, indent=2) + "\n").encode()


def _query_response(questions: Sequence[Question], _texts: Mapping[str, str]) -> bytes:
    """LlamaIndex's QueryResponseDataset: two mappings from ids, to questions and to answers."""
    found = {
        "queries": {question.id: question.text for question in questions},
        "responses": {question.id: question.answer or "" for question in questions},
    }
    return (json.dumps(found, ensure_ascii=False, indent=2) + "\n").encode()


def _alternatives(question: Question) -> list[int]:
    return sorted({reference.alternative for reference in question.references})


def _contexts(question: Question, texts: Mapping[str, str]) -> list[str]:
    """The texts that answer a question: of its first alternative, or of its documents as a whole."""
    first = _alternatives(question)[:1]
    known = [reference.text for reference in question.references if reference.alternative in first]
    contexts = known or [texts.get(name) for name in question.documents]
    if None in contexts:
        raise DataError(f"question {question.id!r} names a reference without its text; give --documents")
    return [context for context in contexts if context is not None]


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


_WRITERS: Mapping[str, _Writer] = MappingProxyType(
    {
        "jsonl": _json_lines,
        "csv": _csv,
        "parquet": _parquet,
        "labelled-rag": _labelled_rag,
        "query-response": _query_response,
    }
)
