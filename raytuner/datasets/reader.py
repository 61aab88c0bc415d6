"""Reading a question set from a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from raytuner.datasets.columns import to_questions
from raytuner.datasets.question import QuestionSet
from raytuner.datasets.rows import read_rows
from raytuner.datasets.spans import OnBadSpan, fit
from raytuner.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from raytuner.documents.document import Document

BUILTIN = {"builtin:quickstart": Path(__file__).parent.parent / "data" / "quickstart" / "questions.jsonl"}


def load(
    path: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    on_bad_span: OnBadSpan = "error",
    encoding: str = "utf-8-sig",
    documents: Sequence[Document] | None = None,
) -> QuestionSet:
    """Read a question set; its form is found from its content.

    Forms: LlamaIndex's QueryResponseDataset, or one object (JSON lines, JSON list) or row (CSV) for each
    question with `question` and, if known, `id`, `answer` and where the answer is: `references`, a list of
    {start_index, end_index, content, document}; or one span in columns `start_index`, `end_index`, `content`
    and `document`; or `document` alone, a name or a list of names. Offsets count characters of the decoded
    document, the end is exclusive, `content` and `document` may be absent.

    Args:
        path: The file, or ``builtin:quickstart``.
        columns: From these names to the file's own, where they differ, e.g. ``{"question": "Frage"}``.
        on_bad_span: With documents: whether a span that does not fit its document is an error or is dropped.
        encoding: How the file is decoded, strictly. The default accepts a byte order mark.
        documents: The collection. If given, names of documents become ids and every span is checked.

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
    file = str(path)
    questions = to_questions(read_rows(_read(file, encoding), file), columns, file)
    return QuestionSet(questions) if documents is None else fit(questions, documents, on_bad_span, file)


def _read(file: str, encoding: str) -> str:
    if file.startswith("builtin:") and file not in BUILTIN:
        raise DataError(f"unknown questions {file!r}; {nearest(file, BUILTIN)}")
    path = BUILTIN.get(file) or Path(file).expanduser()
    try:
        # Bytes, since reading as text would change line ends inside quoted fields.
        text = path.read_bytes().decode(encoding)
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}; check `questions`") from None
    except LookupError:
        raise ConfigError(f"questions.encoding: Python knows no encoding {encoding!r}; try utf-8") from None
    except UnicodeError as error:
        raise DataError(f"{file}: cannot be decoded: {error}; convert the file to UTF-8 or set `encoding`") from None
    if not text.strip():
        raise DataError(f"{file}: the file is empty; put questions into it")
    return text
