"""What several tests need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of public evaluation data, which is not part of the project."""
    folder = Path(os.environ.get("RAYTUNER_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"evaluation data is missing: {folder} (set RAYTUNER_DATA)")
    return folder


@pytest.fixture(scope="session")
def local_ray() -> Iterator[int]:
    """One local Ray with two CPUs for all tests that need it; gives the number of slots."""
    from raytuner import runtime

    runtime.connect("local")
    yield runtime.slots(None, None).number
    runtime.disconnect()
