"""What several tests need."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raytuner import ray_access
from raytuner.folders import cache_folder

ROOT = Path(__file__).resolve().parent.parent


def cache_with_weights(folder: Path, weights_of: Path) -> Path:
    """A cache folder without artefacts, but with what another one has fetched."""
    folder.mkdir(parents=True, exist_ok=True)
    (weights_of / "models").mkdir(parents=True, exist_ok=True)
    for entry in weights_of.iterdir():
        if entry.name != "artefacts":
            (folder / entry.name).symlink_to(entry.resolve())
    return folder


ray_access.ensure_token()  # before a test that starts Ray by itself: Ray makes one that others can read
_scratch = tempfile.TemporaryDirectory(prefix="raytuner-tests-")
# The artefacts of the user's own runs are neither used nor changed.
os.environ["RAYTUNER_CACHE"] = str(cache_with_weights(Path(_scratch.name) / "cache", cache_folder()))


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


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes a disk of a size such as 1m."""
    folder = tmp_path / "disk"

    def make(size: str) -> Path:
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("no small disk can be mounted here")
        return folder

    yield make
    if folder.is_mount():
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture(scope="session")
def local_ray() -> Iterator[int]:
    """One local Ray with two CPUs for all tests that need it; gives the number of slots."""
    from raytuner import runtime

    runtime.connect("local")
    yield runtime.slots(None, None).number
    runtime.disconnect()


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of this test's own, in which nothing is but weights."""
    folder = cache_with_weights(tmp_path / "cache", cache_folder())
    monkeypatch.setenv("RAYTUNER_CACHE", str(folder))
    return folder
