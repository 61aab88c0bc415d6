"""Fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with the public evaluation data, which is not part of the project."""
    default = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    folder = Path(os.environ.get("RAYTUNER_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no evaluation data: {folder} is missing; set RAYTUNER_DATA")
    return folder
