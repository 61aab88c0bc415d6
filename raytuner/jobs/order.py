"""What a job is to do, as its package says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

CONFIG = "config.yaml"
ORDER = "job.json"
FILES = "job-files"
"""Names in a package; no module can be called like the last one."""


class Order(NamedTuple):
    """What a job is to do, and what its user has.

    Attributes:
        job: Its id.
        raytuner: The version of raytuner.
        python: The version of Python, without its last part.
        requirements: What raytuner needs of a node.
        needs: Environment variables that each node has to have.
        storage: Where the run folder is copied to, if anywhere.
        root: The folder on the user's machine that stands as ``job-files`` in the package.
        modules: The folder on the user's machine in which its own modules are, if there are any.
    """

    job: str
    raytuner: str
    python: str
    requirements: list[str]
    needs: list[str]
    storage: str | None = None
    root: str = ""
    modules: str | None = None

    def dump(self) -> bytes:
        """The order as JSON."""
        return json.dumps(self._asdict(), indent=1).encode()

    @classmethod
    def read(cls, folder: Path) -> Order:
        """The order in an unpacked package; what a later version may have added is left out."""
        given = json.loads((folder / ORDER).read_text(encoding="utf-8"))
        return cls(**{name: value for name, value in given.items() if name in cls._fields})
