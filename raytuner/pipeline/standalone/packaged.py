"""Weights that lie in an installed package, of which nothing is imported."""

from __future__ import annotations

import hashlib
from importlib.metadata import files
from pathlib import Path


def packaged_file(package: str, name: str, sha256: str) -> str:
    """The path of a file of an installed package.

    Raises:
        FileNotFoundError: It is not there, or not the file that the pipeline was tuned with.
    """
    for file in files(package) or ():
        path = Path(str(file.locate()))
        if file.name == name and hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            return str(path)
    raise FileNotFoundError(f"{package} is not installed with the right {name}: install the versions at the top")
