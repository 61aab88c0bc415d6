"""Which files are meant by the paths that a user writes."""

from __future__ import annotations

import errno
import glob
import logging
import os
import stat
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

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

SHOWN = 3
_SPECIAL = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}

logger = logging.getLogger("raytuner")


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
        try:
            found = _find(entry, excluded)
        except OSError as error:
            raise DataError(f"{entry}: {error.strerror}; check the path and its permissions") from None
        for file in found:
            files.setdefault(file.path.resolve(), file)
    names = unique_names({path: file.name for path, file in files.items()})
    return [File(file.path, names[path], file.named) for path, file in files.items()]


def _find(entry: str | Path, excluded: Collection[Path]) -> list[File]:
    """The files behind one entry, each with the name it would like."""
    text = str(entry)
    if text.startswith("builtin:"):
        if text not in BUILTIN:
            raise DataError(f"unknown documents {text!r}; {nearest(text, BUILTIN)}")
        folder = BUILTIN[text]
        return _in_folder(folder, text, {(folder / QUESTIONS).resolve()})
    if not text.strip():
        raise DataError("documents has an empty path; name a file or a folder")
    if "://" in text:
        raise DataError(f"{text}: an address, not a path; download it and name the file")
    path = Path(text).expanduser()
    if path.is_dir():
        return _in_folder(path, text, excluded)
    if os.path.lexists(path):
        if (fault := _fault(path)) is not None:
            raise DataError(f"{text}: {fault}; name a file that can be read")
        if path.suffix.lower() not in SUFFIXES:
            raise DataError(f"{text}: {path.suffix or 'no'} extension; {_known()}, or name a `reader`")
        return [File(path, path.name, named=True)]
    found = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
    matches = [match for match in found if not match.is_dir()]
    if not matches:
        what = "matches folders only; add /*" if found else "no such file or folder; check `documents`"
        raise DataError(f"{text}: {what}")
    known = _known_files(matches, text, excluded)
    if not known:
        raise DataError(f"{text}: none of the {len(matches)} files can be read; {_known()}, or name a `reader`")
    return [File(match, match.name, named=False) for match in known]


def _in_folder(folder: Path, text: str, excluded: Collection[Path]) -> list[File]:
    found = _known_files(sorted(_walk(folder)), text, excluded)
    if not found:
        raise DataError(f"{text}: the folder holds no documents; put some there: {_known()}")
    return [File(path, path.relative_to(folder).as_posix(), named=False) for path in found]


def _walk(folder: Path) -> Iterator[Path]:
    """What is in a folder at any depth, hidden ones left out; of a collection only its documents.

    Of folders it yields those that are not entered: links, which may lead in circles, and those that cannot be read.
    """
    unread: list[Path] = []
    for parent, folders, files in os.walk(folder, onerror=lambda error: unread.append(Path(error.filename))):
        corpus = next((corpus for corpus, other in COLLECTIONS.values() if {corpus, other} <= set(files)), None)
        folders[:] = [] if corpus else [name for name in folders if not name.startswith(".")]
        links = [name for name in folders if Path(parent, name).is_symlink()]
        yield from (
            Path(parent, name) for name in ([corpus] if corpus else [*files, *links]) if not name.startswith(".")
        )
    if folder in unread:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    yield from unread


def _known_files(paths: Sequence[Path], text: str, excluded: Collection[Path]) -> list[Path]:
    """The paths with a known suffix that can be read and are not excluded; says what it leaves out."""
    faults = {path: fault for path in paths if (fault := _fault(path)) is not None}
    if faults:
        some = ", ".join(f"{path} ({fault})" for path, fault in islice(faults.items(), SHOWN))
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        logger.warning("%s: %d files or folders that cannot be read are skipped: %s%s", text, len(faults), some, more)
    sound = [path for path in paths if path not in faults]
    other = Counter(path.suffix or "without a suffix" for path in sound if path.suffix.lower() not in SUFFIXES)
    if other:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in other.most_common())
        logger.warning("%s: files of unknown kinds are skipped: %s", text, counts)
    known = [path for path in sound if path.suffix.lower() in SUFFIXES]
    return [path for path in known if path.resolve() not in excluded or is_squad_file(path)]


def _fault(path: Path) -> str | None:
    """Why something is no file that can be read, if so."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode):
            path.open("rb").close()  # a named pipe would wait for its other end
            return None
    except FileNotFoundError:
        return "a link that leads nowhere"
    except OSError as error:
        return "a link to itself" if error.errno == errno.ELOOP else (error.strerror or "unreadable").lower()
    if stat.S_ISDIR(mode):
        return "a link to a folder; name that itself" if path.is_symlink() else "permission denied"
    return _SPECIAL.get(stat.S_IFMT(mode), "no regular file")


def _known() -> str:
    return f"documents are {', '.join(SUFFIXES)} files"


def unique_names(names: dict[Path, str]) -> dict[Path, str]:
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
