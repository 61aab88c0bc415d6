"""Which document a question means by a name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from raytuner.errors import DataError

if TYPE_CHECKING:
    from raytuner.documents.document import Document

Find = Callable[[str, str], str]


def finder(documents: Sequence[Document], file: str) -> Find:
    """A function from the name of a document (and the id of a question, for messages) to the document's id.

    Documents that come with the questions, as SQuAD's paragraphs do, are looked for first: other files may have some
    of the same name.

    Args:
        documents: The collection.
        file: The question set.
    """
    ids = [document.id for document in documents]
    tables = [_table(_own(documents, Path(file).expanduser()), _within_file)]
    tables += [_table(documents, key) for key in _KEYS]

    def find(name: str, question: str) -> str:
        if not name and len(ids) == 1:
            return ids[0]
        matches: Sequence[str] = next((table[name] for table in tables if name in table), ())
        if len(matches) == 1:
            return matches[0]
        means = f"names {name!r}, which is {_how_many(len(matches))}" if name else "does not name its document"
        raise DataError(f"{file}: question {question!r} {means}; there are: {_listed(matches or ids)}")

    return find


def _own(documents: Iterable[Document], questions: Path) -> list[Document]:
    """The documents that are in the file or folder of the questions themselves."""
    home = questions.parent if questions.name == "qa.parquet" else questions
    homes = {home.resolve(), questions.resolve()}
    sources = {document.source for document in documents if document.source is not None}
    own = {source for source in sources if {Path(source).resolve(), Path(source).resolve().parent} & homes}
    return [document for document in documents if document.source in own]


def _within_file(document: Document) -> str:
    """The id of a row or paragraph without the file that it begins with."""
    _, mark, own = document.id.partition(f"{Path(document.source).name}#") if document.source else ("", "", "")
    return own if mark else document.id


def _of_id(key: Callable[[PurePosixPath], str]) -> Callable[[Document], str]:
    return lambda document: key(PurePosixPath(document.id))


# A document may be named by its id, by that within its file, by its file name, or without the extension: the first
# that fits counts.
_KEYS: tuple[Callable[[Document], str], ...] = (
    lambda document: document.id,
    _within_file,
    _of_id(lambda path: path.name),
    lambda document: document.id.removesuffix(PurePosixPath(document.id).suffix),
    _of_id(lambda path: path.stem),
)


def _table(documents: Iterable[Document], key: Callable[[Document], str]) -> Mapping[str, Sequence[str]]:
    table: dict[str, list[str]] = defaultdict(list)
    for document in documents:
        table[key(document)].append(document.id)
    return table


def _how_many(matches: int) -> str:
    return f"the name of {matches} documents" if matches else "none of the documents"


def _listed(ids: Sequence[str], shown: int = 5) -> str:
    more = f", ... ({len(ids)} in all)" if len(ids) > shown else ""
    return ", ".join(islice(ids, shown)) + more
