"""Which texts are embedded, in whichever process: told by the model class itself, not by what calls it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any


class Recording:
    """Has the built-in embedding models write down every text that they embed.

    It begins where it is made and in every process that it is unpickled in: as an attribute of an objective it
    travels with it to the workers.

    Args:
        folder: Where each process writes a file of its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        _begin(folder)

    def __reduce__(self) -> tuple[Callable[..., Recording], tuple[Path]]:
        return Recording, (self.folder,)

    def attach(self, objective: Any) -> None:
        """Let an objective take the recording along."""
        vars(objective)["_recording"] = self


def texts(folder: Path) -> list[str]:
    """Every text that was embedded, as often as it was, by the processes that wrote to a folder."""
    return [text for path in sorted(folder.glob("*.jsonl")) for text in _lines(path)]


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _begin(folder: Path) -> None:
    from raytuner.models.local import LocalEmbedding

    if hasattr(LocalEmbedding.encode, "unrecorded"):
        return
    encode = LocalEmbedding.encode

    def recorded(self: LocalEmbedding, texts: Sequence[str]) -> Any:
        with (folder / f"{os.getpid()}.jsonl").open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(text) + "\n" for text in dict.fromkeys(texts))
        return encode(self, texts)

    recorded.unrecorded = encode  # type: ignore[attr-defined]
    LocalEmbedding.encode = recorded  # type: ignore[method-assign]
