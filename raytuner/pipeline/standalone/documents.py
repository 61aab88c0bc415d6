"""The documents."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from llama_index.core.schema import Document

from raytuner.pipeline.standalone.glue import READERS


def read_documents(paths: Sequence[str]) -> list[Document]:
    """Read files, and those in folders; each is a document, named by its path in the folder."""
    documents = []
    for path in map(Path, paths):
        is_folder = path.is_dir()
        for file in sorted(path.rglob("*")) if is_folder else [path]:
            name = file.relative_to(path) if is_folder else Path(file.name)
            if any(part.startswith(".") for part in name.parts) or (is_folder and not file.is_file()):
                continue
            reader = READERS.get(file.suffix.lower())
            if reader is None:
                logging.getLogger(__name__).warning("skipped, as this script reads no such files: %s", file)
                continue
            documents.append(Document(text=reader(file), metadata={"document": name.as_posix(), "source": str(file)}))
    return [document for document in documents if document.text.strip()]
