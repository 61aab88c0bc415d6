"""Documents: text and Markdown files, read strictly as UTF-8."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

from raytuner.documents.document import Document
from raytuner.errors import DataError, nearest

SUFFIXES = (".md", ".markdown", ".txt")
BUILTIN = {"builtin:quickstart": Path(__file__).parent.parent / "data" / "quickstart"}


def load_documents(paths: str | Path | Sequence[str | Path], *, encoding: str = "utf-8-sig") -> list[Document]:
    """Read files, folders (recursively) and globs of text and Markdown.

    Args:
        paths: A path or several: a file, a folder, a glob, or ``builtin:quickstart``.
        encoding: How the files are decoded, strictly. The default accepts a byte order mark.

    Returns:
        The documents in the order of their ids within each path. An id is the path relative
        to the folder that was named, or the bare file name; names that clash keep more of their path.

    Raises:
        DataError: A path does not exist, holds no text or Markdown, or cannot be decoded.
    """
    entries = [paths] if isinstance(paths, (str, Path)) else list(paths)
    if not entries:
        raise DataError("documents is an empty list: name a file or a folder")
    files: dict[Path, str] = {}
    for entry in entries:
        for file, name in _find(entry):
            files.setdefault(file.resolve(), name)
    ids = _unique_ids(files)
    return [Document(ids[file], _read(file, encoding)) for file in files]


def _find(entry: str | Path) -> list[tuple[Path, str]]:
    """The files behind one entry, each with the id it would like."""
    text = str(entry)
    if text.startswith("builtin:"):
        if text not in BUILTIN:
            raise DataError(f"unknown documents {text!r}; {nearest(text, BUILTIN)}")
        return _in_folder(BUILTIN[text], text)
    path = Path(text).expanduser()
    if path.is_dir():
        return _in_folder(path, text)
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise DataError(f"{text}: {path.suffix or 'no'} extension; documents are {', '.join(SUFFIXES)} files")
        return [(path, path.name)]
    matches = sorted(Path(match) for match in glob.glob(str(path), recursive=True))
    found = [(match, match.name) for match in matches if match.is_file() and match.suffix.lower() in SUFFIXES]
    if not found:
        raise DataError(f"{text}: no such file or folder; check `documents`")
    return found


def _in_folder(folder: Path, text: str) -> list[tuple[Path, str]]:
    found = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
    if not found:
        raise DataError(f"{text}: the folder holds no {', '.join(SUFFIXES)} file; put documents there")
    return [(path, path.relative_to(folder).as_posix()) for path in found]


def _unique_ids(files: dict[Path, str]) -> dict[Path, str]:
    """Ids as wished where they are unique, else with as much of the path as tells them apart."""
    ids = dict(files)
    depth = 1
    while len(set(ids.values())) < len(ids):
        clashing = _repeated(ids.values())
        depth += 1
        for file, name in ids.items():
            if name in clashing:
                ids[file] = "/".join(file.parts[-depth:]) if depth < len(file.parts) else file.as_posix()
    return ids


def _repeated(names: Iterable[str]) -> set[str]:
    seen: set[str] = set()
    return {name for name in names if name in seen or seen.add(name)}  # type: ignore[func-returns-value]


def _read(path: Path, encoding: str) -> str:
    try:
        # newline="" keeps "\r\n": offsets of reference spans count every character of the file.
        with path.open(encoding=encoding, newline="") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: byte {error.start} is not {encoding.replace('-sig', '')}; convert the file to UTF-8"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; check the path and its permissions") from None
    if not text.strip():
        raise DataError(f"{path}: the file is empty; remove it or put text into it")
    return text
