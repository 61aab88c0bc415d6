"""The documents."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llama_index.core.schema import Document

from raytuner.pipeline.standalone.glue import READERS


def read_documents(paths: Sequence[str]) -> list[Document]:
    """Read files, and those in folders; each is a document, named by its path in the folder."""
    documents = []
    for path in map(Path, paths):
        inside = path.rglob("*") if path.is_dir() else [path]
        for file in sorted(one for one in inside if one.suffix.lower() in READERS):
            name = file.relative_to(path) if path.is_dir() else Path(file.name)
            if not any(part.startswith(".") for part in name.parts):
                text = READERS[file.suffix.lower()](file)
                documents.append(Document(text=text, metadata={"document": name.as_posix(), "source": str(file)}))
    return [document for document in documents if document.text.strip()]
