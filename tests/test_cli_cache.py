"""The commands ``raytuner cache``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from raytuner.cli import cli
from raytuner.errors import StoreError
from raytuner.pipeline.cache import shared_cache
from raytuner.store import JSON

KEYS = [f"{number:032x}" for number in range(3)]


@pytest.fixture
def filled(empty_cache: Path) -> Path:
    store = shared_cache().store
    assert store is not None
    store.put_many(dict.fromkeys(KEYS[:2], "an answer"), JSON, stage="generate")
    store.put(KEYS[2], "a ranking", JSON, stage="fuse")
    return empty_cache


def invoke(*command: str) -> Result:
    return CliRunner().invoke(cli, ["cache", *command], catch_exceptions=False)


def test_info_counts_by_stage(filled: Path) -> None:
    lines = invoke("info").output.splitlines()
    assert lines[0] == f"folder  {filled / 'artefacts'}"
    assert [line.split()[:2] for line in lines[2:4]] == [["generate", "2"], ["fuse", "1"]]
    assert lines[4].startswith("in all  3 artefacts, ")


@pytest.mark.usefixtures("filled")
def test_clear_removes_all_or_a_stage() -> None:
    assert invoke("clear", "--stage", "fuse").output.splitlines()[0].startswith("removed: 1 artefacts, ")
    assert invoke("clear", "--unused-days", "1").output.startswith("removed: 0 artefacts")
    assert invoke("clear").output.startswith("removed: 2 artefacts, ")
    assert "in all  0 artefacts" in invoke("info").output


@pytest.mark.usefixtures("filled")
def test_an_unknown_stage_is_refused_with_those_that_there_are() -> None:
    refused = invoke("clear", "--stage", "fusion")
    assert refused.exit_code == 2
    assert "--stage 'fusion': there are fuse, generate" in refused.output


def test_a_full_disk_can_be_cleared(small_disk: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTUNER_CACHE", str(small_disk("1m")))
    monkeypatch.setenv("RAYTUNER_CACHE_LIMIT", "1GB")
    store = shared_cache().store
    assert store is not None
    with pytest.raises(StoreError, match="raytuner cache clear"):
        for number in range(1000):
            store.put(f"{number:032x}", "x" * 10_000, JSON, stage="any")
    store.close()  # an open file keeps its place on the disk
    cleared = invoke("clear")
    assert (cleared.exit_code, cleared.output) == (0, "removed: everything, since the disk is full\n")
    assert "in all  0 artefacts" in invoke("info").output
    store.put(KEYS[0], "x" * 10_000, JSON, stage="any")
