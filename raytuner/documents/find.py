"""Which files are meant by the paths that a user writes."""

from __future__ import annotations

import glob
import logging
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from raytuner.documents.formats import SUFFIXES, File
from raytuner.documents.squad import is_squad_file
from raytuner.errors import DataError, nearest

BUILTIN = {"builtin:quickstart": Path(__file__).parent.parent / "data" / "quickstart"}
QUESTIONS = "questions.jsonl"  # of a built-in collection
# A folder with both of these is a collection with its questions; only the first holds documents.
COLLECTIONS = {
    "BEIR": ("corpus.jsonl", "queries.jsonl"),  # https://github.com/beir-cellar/beir
    "AutoRAG": ("corpus.parquet", "qa.parquet"),  # https://github.com/Marker-Inc-Korea/AutoRAG
}


def find_files(entries: Sequence[str | Path], exclude: Iterable[str | Path] = ()) -> list[File]:
    """The files behind paths, folders and globs, each once, with unique names.

    Args:
        entries: See `load_documents`.
        exclude: Files that are left out where a folder or a glob finds them, unless they are of SQuAD's form,
            which holds questions and documents.

    Returns:
        The files, those of a folder in the order of their names.

    Raises:
        DataError: There is nothing behind an entry that could be read.
    """
    if not entries:
        raise DataError("documents is an empty list: name a file or a folder")
    excluded = {Path(path).expanduser().resolve() for path in exclude}
    files: dict[Path, File] = {}
    for entry in entries:
        for file in _find(entry, excluded):
            files.setdefault(file.path.resolve(), file)
    names = _unique_names({path: file.name for path, file in files.items()})
    return [File(file.path, names[path], file.named) for path, file in files.items()]


def _find(entry: str | Path, excluded: Collection[Path]) -> list[File]:
    """The files behind one entry, each with the name it would like."""
    text = str(entry)
    if text.startswith("builtin:"):
        if text not in BUILTIN:
            raise DataError(f"unknown documents {text!r}; {nearest(text, BUILTIN)}")
        folder = BUILTIN[text]
        return _in_folder(folder, text, {(folder / QUESTIONS).resolve()})
    path = Path(text).expanduser()
    if path.is_dir():
        return _in_folder(path, text, excluded)
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise DataError(f"{text}: {path.suffix or 'no'} extension; {_known()}, or name a `reader`")
        return [File(path, path.name, named=True)]
    matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True)) if Path(match).is_file()]
    if not matches:
        raise DataError(f"{text}: no such file or folder; check `documents`")
    known = _known_files(matches, text, excluded)
    if not known:
        raise DataError(f"{text}: none of the {len(matches)} files is known; {_known()}, or name a `reader`")
    return [File(match, match.name, named=False) for match in known]


def _in_folder(folder: Path, text: str, excluded: Collection[Path]) -> list[File]:
    found = _known_files(sorted(_walk(folder)), text, excluded)
    if not found:
        raise DataError(f"{text}: the folder holds no documents; put some there: {_known()}")
    return [File(path, path.relative_to(folder).as_posix(), named=False) for path in found]


def _walk(folder: Path) -> Iterator[Path]:
    """The files of a folder at any depth, hidden ones left out; of a collection only its documents."""
    for parent, folders, files in os.walk(folder, onerror=_cannot_list):
        corpus = next((corpus for corpus, other in COLLECTIONS.values() if {corpus, other} <= set(files)), None)
        folders[:] = [] if corpus else [name for name in folders if not name.startswith(".")]
        for name in [corpus] if corpus else files:
            path = Path(parent, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _cannot_list(error: OSError) -> NoReturn:
    raise DataError(f"{error.filename}: {error.strerror}; check the folder's permissions")


def _known_files(paths: Sequence[Path], text: str, excluded: Collection[Path]) -> list[Path]:
    """The paths with a known suffix that are not excluded; says what it leaves out."""
    known = [path for path in paths if path.suffix.lower() in SUFFIXES]
    other = Counter(path.suffix or "without a suffix" for path in paths if path.suffix.lower() not in SUFFIXES)
    if other:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in other.most_common())
        logging.getLogger("raytuner").warning("%s: files of unknown kinds are skipped: %s", text, counts)
    return [path for path in known if path.resolve() not in excluded or is_squad_file(path)]


def _known() -> str:
    return f"documents are {', '.join(SUFFIXES)} files"


def _unique_names(names: dict[Path, str]) -> dict[Path, str]:
    """Names as wished where they are unique, else with as much of the path as tells them apart."""
    names = dict(names)
    depth = 1
    while len(set(names.values())) < len(names):
        clashing = _repeated(names.values())
        depth += 1
        for path, name in names.items():
            if name in clashing:
                names[path] = "/".join(path.parts[-depth:]) if depth < len(path.parts) else path.as_posix()
    return names


def _repeated(names: Iterable[str]) -> set[str]:
    return {name for name, count in Counter(names).items() if count > 1}
