"""Reading a question set from a file or folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from raytuner.datasets.columns import FORMS, to_questions
from raytuner.datasets.folder import folder_rows
from raytuner.datasets.question import Question, QuestionSet
from raytuner.datasets.row import Row, decoded
from raytuner.datasets.rows import read_rows
from raytuner.datasets.spans import OnBadSpan, fit
from raytuner.datasets.tables import MAGIC, parquet_rows
from raytuner.documents.find import unique_names
from raytuner.documents.kinds import unicode_mark
from raytuner.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from raytuner.documents.document import Document

BUILTIN = {"builtin:quickstart": Path(__file__).parent.parent / "data" / "quickstart" / "questions.jsonl"}


def load(
    path: str | Path | Sequence[str | Path],
    *,
    columns: Mapping[str, str] | None = None,
    on_bad_span: OnBadSpan = "error",
    encoding: str = "utf-8-sig",
    documents: Sequence[Document] | None = None,
) -> QuestionSet:
    """Read a question set or several; its form is found from its content.

    Forms: a row (CSV, Parquet) or an object (JSON lines, JSON list) for each question, with the columns of
    `raytuner.datasets.columns.COLUMNS`; SQuAD 1.1 and 2.0; LlamaIndex's QueryResponseDataset and
    LabelledRagDataset; a BEIR or AutoRAG folder. Offsets count characters of the decoded document, the end is
    exclusive. A reference may be given by its text alone; it is located in the documents.

    Args:
        path: The file or folder, or ``builtin:quickstart``. The questions of several files are one set; ids that are
            in more than one of them begin with the name of the file.
        columns: From these names to the file's own, where they differ, e.g. ``{"question": "Frage"}``.
        on_bad_span: With documents: whether a span that does not fit its document is an error or is dropped.
        encoding: How the file is decoded, strictly. The default accepts a byte order mark.
        documents: The collection. If given, names of documents become ids, every span is checked, and
            references that are known by their text alone are located.

    Returns:
        The questions in the order of the file.

    Raises:
        DataError: The file cannot be read, is malformed, or does not fit the documents.
        ConfigError: `columns`, `on_bad_span` or `encoding` has a value that there is not.
    """
    if on_bad_span not in get_args(OnBadSpan):
        raise ConfigError(
            f"questions.on_bad_span: unknown {on_bad_span!r}; {nearest(on_bad_span, get_args(OnBadSpan))}"
        )
    files = [str(path)] if isinstance(path, (str, Path)) else list(dict.fromkeys(map(str, path)))
    if not files:
        raise DataError("questions is an empty list: name a question set")
    sets = []
    for file in files:
        questions = to_questions(_rows(file, encoding), columns, file)
        sets.append(QuestionSet(questions) if documents is None else fit(questions, documents, on_bad_span, file))
    return sets[0] if len(sets) == 1 else _together(dict(zip(files, sets, strict=True)))


def _together(sets: Mapping[str, QuestionSet]) -> QuestionSet:
    """Several sets as one."""
    times = Counter(question.id for questions in sets.values() for question in questions)
    names = unique_names({Path(file).expanduser().absolute(): Path(file).name for file in sets})
    made: list[Question] = []
    lost: list[str] = []
    for file, questions in sets.items():
        name = names[Path(file).expanduser().absolute()]
        ids = {own: f"{name}#{own}" if times[own] > 1 else own for own in times}
        made += [replace(question, id=ids[question.id]) for question in questions]
        lost += [ids.get(own, own) for own in questions.lost]
    dropped, missed = (sum(getattr(own, count) for own in sets.values()) for count in ("dropped", "missed"))
    return QuestionSet(tuple(made), dropped=dropped, missed=missed, lost=tuple(lost))


def _rows(file: str, encoding: str) -> list[Row]:
    if file.startswith("builtin:") and file not in BUILTIN:
        raise DataError(f"unknown questions {file!r}; {nearest(file, BUILTIN)}")
    if not file.strip():
        raise DataError("questions has an empty path; name a question set")
    if "://" in file:
        raise DataError(f"{file}: an address, not a path; download it and name the file")
    path = BUILTIN.get(file) or Path(file).expanduser()
    try:
        if path.is_dir():
            return folder_rows(path, file, encoding)
        if path.exists() and not path.is_file():
            raise DataError(f"{file}: not a regular file or folder; name a question set")  # a pipe may never end
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}; check `questions`") from None
    if content.startswith(MAGIC):
        return parquet_rows(path, file)
    if not content:
        raise DataError(f"{file}: the file is empty; put questions into it")
    if b"\0" in content and unicode_mark(content) is None and encoding.lower().startswith("utf-8"):
        raise DataError(f"{file}: a binary file is in no known form; known forms: {FORMS}")
    return read_rows(decoded(content, file, encoding), file)
