"""The texts of files that take long to read, kept under the hash of their bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from raytuner.documents.formats import SLOW, File
from raytuner.documents.text import read_bytes
from raytuner.errors import DataError
from raytuner.pipeline.cache import shared_cache
from raytuner.pipeline.stage import digest
from raytuner.store import JSON, Adapted, Codec
from raytuner.versions import installed_version

VERSION = 1
"""Raised whenever what is read from a file changes."""


class FileText(NamedTuple):
    """What a file holds, whatever it is called.

    Attributes:
        text: Its text; empty if there is none.
        pages: For a file with pages, the first character of each, rising from 0.
    """

    text: str
    pages: tuple[int, ...] = ()


TEXT: Codec[FileText] = Adapted(
    "text-1", JSON, lambda read: [read.text, read.pages], lambda value: FileText(value[0], tuple(value[1]))
)


def texts(files: Sequence[File], encoding: str, read: Callable[[Sequence[File]], Sequence[FileText]]) -> list[FileText]:
    """The texts of files; each is read once, until its bytes or what reads it change.

    Args:
        files: Files of the `SLOW` formats.
        encoding: Of what does not declare its own.
        read: Reads the files that were not read before.

    Raises:
        DataError: A file cannot be read, or is written to at the same time.
    """
    hashes = [_hash(file) for file in files]

    def build(needed: list[int]) -> Sequence[FileText]:
        made = read([files[i] for i in needed])
        for i in needed:
            if _hash(files[i]) != hashes[i]:
                raise DataError(f"{files[i].path}: the file was changed while it was read; try again")
        return made

    return shared_cache().get_or_build_many(
        [_key(file, encoding, content) for file, content in zip(files, hashes, strict=True)],
        build,
        codec=TEXT,
        stage="load",
        usable=lambda kept: bool(kept.text.strip()),  # of a file without text it is said each time what is wrong
    )


def _hash(file: File) -> str:
    return hashlib.sha256(read_bytes(file.path)).hexdigest()


def _key(file: File, encoding: str, content: str) -> str:
    reader = SLOW[file.suffix]
    libraries = {name: installed_version(name) for name in reader.libraries}
    return digest(["load", VERSION, reader.kind, libraries, encoding, content])
