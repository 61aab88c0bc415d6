"""What several tests need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

os.environ.setdefault("RAYTUNER_CACHE_LIMIT", "0")  # no test finds what another has stored, unless it asks for it


MOST_PROCESSES = 4  # each loads the models for itself


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes ``-n auto`` means: several for the whole of what needs no Ray, else this one only.

    Ray takes all CPUs for itself, and for a few tests the start of more processes is not worth it.
    """
    whole = not config.option.file_or_dir and "not ray" in config.option.markexpr
    return min(os.cpu_count() or 1, MOST_PROCESSES) if whole else 0


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


@pytest.fixture
def empty_cache() -> None:
    """What other tests of this process have made is forgotten."""
    from raytuner.pipeline import cache

    cache._shared.cache_clear()
