"""Documents from a reader of LlamaIndex, or from any function that gives such documents."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from raytuner import components
from raytuner.documents.document import Document
from raytuner.documents.pdf import join
from raytuner.errors import ConfigError, DataError


def read_with(reader: object, options: Mapping[str, Any], paths: Sequence[str | Path]) -> list[Document]:
    """Call a reader and take over what it returns.

    Args:
        reader: A class or an object with ``load_data``, or a function; or the dotted path of one.
        options: For the class, else for the call.
        paths: What it is called with, one after the other; without any it is called once, without a path.

    Returns:
        The documents with their ids: ``file_path`` or ``file_name`` of the metadata, else the document's own. Pages of
        the same file that follow each other, known by ``page_label``, are one document.

    Raises:
        DataError: It fails, returns something else than documents, or has read bytes as text.
        ConfigError: It cannot be imported, or does not take the options.
    """
    label = reader if isinstance(reader, str) else getattr(reader, "__name__", type(reader).__name__)
    if isinstance(reader, str):
        components.canonical(options, "documents.options")  # no address where keys could go
    call = _callable(
        components.load(reader, "reader") if isinstance(reader, str) else reader, options, f"reader {label}"
    )
    arguments: list[tuple[Path, ...]] = [(_existing(path),) for path in paths] or [()]
    found = [_converted(item, f"reader {label}") for own in arguments for item in _call(call, own, f"reader {label}")]
    documents = _joined(found)
    if not documents:
        raise DataError(f"reader {label}: it returned no documents; check its path and options")
    for document in documents:
        _check(document, f"reader {label}")
    return _unique_ids(documents)


def check_reading(options: Mapping[str, Any], paths: Sequence[str | Path]) -> None:
    """Check what `read_with` would be given, as far as that goes without the reader.

    Raises:
        DataError: A path does not exist.
        ConfigError: The options cannot be used.
    """
    components.canonical(options, "documents.options")
    for path in paths:
        _existing(path)


def _callable(reader: Any, options: Mapping[str, Any], label: str) -> Callable[..., Any]:
    if not isinstance(reader, type):
        return functools.partial(getattr(reader, "load_data", reader), **options)
    try:
        made = reader(**options)
    except Exception as error:  # whatever a user's class raises
        raise ConfigError(f"{label}: {type(error).__name__}: {error}; check documents.options") from error
    if not hasattr(made, "load_data"):
        raise ConfigError(f"{label}: the class has no method load_data; name a reader of LlamaIndex, or a function")
    return made.load_data  # type: ignore[no-any-return]


def _call(call: Callable[..., Any], arguments: tuple[Path, ...], label: str) -> Iterable[Any]:
    try:
        return list(call(*arguments))
    except Exception as error:  # whatever a user's reader raises
        where = f" on {arguments[0]}" if arguments else ""
        raise DataError(f"{label}: it failed{where}: {type(error).__name__}: {error}") from error


def _existing(path: str | Path) -> Path:
    found = Path(path).expanduser()
    if not found.exists():
        raise DataError(f"{path}: no such file or folder; check `documents`")
    return found


def _converted(item: Any, label: str) -> tuple[Document, bool]:
    """A document, and whether it is a page of one."""
    if isinstance(item, Document):
        return item, False
    text, metadata = getattr(item, "text", None), getattr(item, "metadata", None) or {}
    if not isinstance(text, str):
        raise DataError(f"{label}: it returned {type(item).__name__}, not documents of LlamaIndex; name another reader")
    source = metadata.get("file_path") or metadata.get("file_name")
    name = metadata.get("file_name") or source or item.id_
    page = "page_label" in metadata and source is not None
    return Document(str(name), text, None if source is None else str(source), (0,) if page else ()), page


def _joined(found: Sequence[tuple[Document, bool]]) -> list[Document]:
    documents: list[Document] = []
    for (_, _, page), group in groupby(found, key=lambda pair: (pair[0].id, pair[0].source, pair[1])):
        own = [document for document, _ in group]
        documents += [join(own)] if page else own
    return documents


def _check(document: Document, label: str) -> None:
    """Refuse bytes that a reader took for text, as SimpleDirectoryReader does without the packages it needs."""
    if document.text.startswith("%PDF") or "\ufffd" in document.text or "\0" in document.text:
        raise DataError(
            f"{label}: {document.id} is bytes read as text (%PDF, NUL or U+FFFD); install what the reader needs "
            "for this kind of file, or leave out `reader`"
        )
    if not document.text.strip():
        raise DataError(f"{label}: {document.id} is empty; leave it out")


def _unique_ids(documents: Sequence[Document]) -> list[Document]:
    """Documents of the same name are numbered, from 1."""
    times = Counter(document.id for document in documents)
    seen: Counter[str] = Counter()
    unique = []
    for document in documents:
        seen[document.id] += 1
        name = f"{document.id}#{seen[document.id]}" if times[document.id] > 1 else document.id
        unique.append(Document(name, document.text, document.source, document.pages))
    return unique
