"""What several tests need."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from raytuner import ray_access
from raytuner.config import TuneConfig
from raytuner.folders import cache_folder
from raytuner.objective import Report
from raytuner.run_folder import RUN, write_json
from raytuner.study import Study

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


DOCUMENTS = {
    "leave.md": "# Leave\n\nEach employee has 30 days of paid leave a year. The team lead approves each request.\n\n"
    "## Sickness\n\nA sick employee tells the team lead before nine. After three days a doctor's note is needed.\n",
    "travel.md": "# Travel\n\nTravel by train is paid in second class. Flights need the approval of the director.\n\n"
    "Hotels are paid up to 120 euros a night; receipts are handed in within a month.\n",
}
QUESTIONS = '{"id": "q1", "question": "How many days of leave?", "answer": "30 days"}\n'

Trials = Sequence[tuple[dict[str, Any], float | str | None]]


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Makes a run folder of a config, with trials: their parameters, and the score, the error, or None as they run."""

    def make(config: str, trials: Trials, documents: Mapping[str, str] = DOCUMENTS) -> Path:
        folder = tmp_path / "runs" / f"rag-20260101-00000{len(list(tmp_path.glob('runs/*')))}"
        (tmp_path / "docs").mkdir(exist_ok=True)
        for name, text in documents.items():
            (tmp_path / "docs" / name).write_text(text, encoding="utf-8", newline="")
        (tmp_path / "questions.jsonl").write_text(QUESTIONS, encoding="utf-8")
        folder.mkdir(parents=True)
        text = f"documents: docs\nquestions: questions.jsonl\n{config}"
        (folder / "config.yaml").write_text(text, encoding="utf-8")
        settings = TuneConfig.parse(text, base=tmp_path).settings
        run = {"format": 3, "name": "rag", "metric": "recall", "mode": "max", "base": str(tmp_path), "config": settings}
        write_json(folder / RUN, run)
        study = Study("recall", "max", folder)
        for number, (params, end) in enumerate(trials, 1):
            study.start(number, params)
            if isinstance(end, float):
                study.report(number, Report({"recall": end}))
            if end is not None:
                study.finish(number, 0.1, end if isinstance(end, str) else None)
        study.close()
        return folder

    return make
