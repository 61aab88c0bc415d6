"""Loading documents: from files of many formats, or by a reader of LlamaIndex."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from raytuner.documents.document import Document
from raytuner.documents.find import find_files
from raytuner.documents.formats import COLLECTIONS, PDF, SLOW, File, Job, jobs
from raytuner.documents.kept import FileText, texts
from raytuner.documents.pdf import check_pdf, join
from raytuner.documents.reader import read_with
from raytuner.errors import DataError

Progress = Callable[[int, int], None]
WORTH_A_POOL = 300  # pages of a PDF: 1.5 s for plain ones, about what it takes to start the processes

logger = logging.getLogger("raytuner")


def load_documents(
    paths: str | Path | Sequence[str | Path],
    *,
    encoding: str = "utf-8-sig",
    reader: object = None,
    options: Mapping[str, Any] | None = None,
    exclude: Iterable[str | Path] = (),
    progress: Progress | None = None,
) -> list[Document]:
    """Read files, folders (recursively), globs and collections.

    Args:
        paths: A path or several: a file, a folder, a glob, or ``builtin:quickstart``. Of the folders of BEIR and
            AutoRAG only the corpus is read. With a `reader` it is called with each path, or once without any.
        encoding: How text is decoded, strictly. The default is UTF-8 with or without a byte order mark.
        reader: A reader of LlamaIndex that takes the place of raytuner's own: a class, a function or an object with
            ``load_data``, or the dotted path of one, which is imported.
        options: Keyword arguments for the class or the function.
        exclude: Files that are not read where a folder or glob finds them, such as the questions.
        progress: Called with how many parts are read, and of how many, as `progress_bar` shows them.

    Returns:
        The documents in the order of the paths, of the files in a folder and of the rows in a file; each with a
        `source`, PDFs with their `pages`. The id of a file is its path relative to the folder that was named, or its
        bare name; names that clash keep more of their path. Rows and paragraphs of collections have the ids they
        bring with them, else ``file#row``.

    Raises:
        DataError: A path does not exist, or something cannot be read or holds no text; the message says what to do.
        ConfigError: There is no such encoding or reader, or the reader does not take the options.
    """
    entries = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if reader is not None:
        return read_with(reader, options or {}, entries)
    if options:
        raise DataError("documents.options are for a `reader`, but there is none; name one or remove them")
    files = find_files(entries, exclude)
    documents = _read(files, encoding, progress)
    _say_what_is_damaged(documents)
    return documents


@contextlib.contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator[Progress]:
    """A bar for the `progress` of `load_documents`, on standard error; it is gone at the end.

    Args:
        quiet: Whether to show nothing, as where standard error is no terminal, or ``NO_COLOR`` is set.
    """
    from tqdm import tqdm

    hidden = quiet or not sys.stderr.isatty() or bool(os.environ.get("NO_COLOR"))
    with tqdm(desc="documents", disable=hidden, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def given_documents(documents: Any) -> list[Document]:
    """Documents that are handed over, or are to be loaded from paths.

    Raises:
        DataError: One is empty, or two share an id.
    """
    if isinstance(documents, (str, Path)):
        return load_documents(documents)
    entries = list(documents)
    if not entries or not all(isinstance(entry, Document) for entry in entries):
        return load_documents(entries)
    times = Counter(entry.id for entry in entries)
    for entry in entries:
        if not entry.text.strip():
            raise DataError(f"document {entry.id!r} is empty; remove it or put text into it")
        if times[entry.id] > 1:
            raise DataError(f"{times[entry.id]} documents have the id {entry.id!r}; make it unique")
    return entries


def _read(files: Sequence[File], encoding: str, progress: Progress | None) -> list[Document]:
    read = _Reading(encoding, progress)
    slow = [file for file in files if file.suffix in SLOW]
    quick = [file for file in files if file.suffix not in SLOW]
    kept = zip(slow, texts(slow, encoding, lambda needed: [_text(own) for own in read(needed)]), strict=True)
    parts = {file: [Document(file.name, own.text, str(file.path), own.pages)] for file, own in kept}
    parts |= zip(quick, read(quick), strict=True)
    found = [(file, _of_file(file, parts[file])) for file in files]
    without = [file.path.name for file, documents in found if not documents]
    if len(without) == len(files):
        raise DataError(
            f"no documents in {_some(without)}; put text into them; a question set belongs under `questions`"
        )
    if without:
        logger.warning("skipped, as they hold no documents: %s", _some(without))
    return _unique_ids(found)


class _Reading:
    """Reads files and tells how far it is.

    Args:
        encoding: Of text.
        progress: See `load_documents`.
    """

    def __init__(self, encoding: str, progress: Progress | None) -> None:
        self._encoding = encoding
        self._progress = progress
        self._done = self._total = 0

    def __call__(self, files: Sequence[File]) -> list[list[Document]]:
        """The documents of each file; those of the parts of a PDF are still apart."""
        parts = jobs(files, self._encoding)
        self._total += len(parts)
        found: dict[File, list[Document]] = {file: [] for file in files}
        for job, documents in zip(parts, _results(parts), strict=True):
            found[job.file] += documents
            self._done += 1
            if self._progress is not None:
                self._progress(self._done, self._total)
        return list(found.values())


def _text(documents: list[Document]) -> FileText:
    """What a file of a slow format holds, which is one document at the most."""
    if not documents:
        return FileText("")
    whole = join(documents)
    return FileText(whole.text, whole.pages)


def _results(parts: Sequence[Job]) -> Iterator[list[Document]]:
    """What the jobs give, in their order; from several processes if that is quicker."""
    if sum(job.cost for job in parts) < WORTH_A_POOL:
        yield from (job() for job in parts)
        return
    from joblib import Parallel, delayed

    pool = Parallel(n_jobs=-1, backend="loky", return_as="generator", idle_worker_timeout=5)
    yield from pool(delayed(job)() for job in parts)


def _of_file(file: File, documents: list[Document]) -> list[Document]:
    """The documents of one file from those of its parts, without empty ones."""
    if file.suffix == PDF:
        return [check_pdf(document) for document in documents]
    filled = [document for document in documents if document.text.strip()]
    if documents and not filled:
        if file.named:
            raise DataError(f"{file.path}: the file is empty; remove it or put text into it")
        return []
    if len(filled) < len(documents):
        logger.warning(
            "%s: %d of %d rows are empty and left out", file.path, len(documents) - len(filled), len(documents)
        )
    return filled


def _unique_ids(found: Sequence[tuple[File, Sequence[Document]]]) -> list[Document]:
    """All documents; where rows of several files have the same id, it begins with the name of the file."""
    times = Counter(document.id for _, documents in found for document in documents)
    return [
        Document(f"{file.name}#{document.id}", document.text, document.source)
        if times[document.id] > 1 and file.suffix in COLLECTIONS
        else document
        for file, documents in found
        for document in documents
    ]


def _say_what_is_damaged(documents: Sequence[Document]) -> None:
    damaged = [document.id for document in documents if "\ufffd" in document.text]
    if damaged:
        logger.warning(
            "U+FFFD stands for characters that were lost before, in %s; go back to the originals", _some(damaged)
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
