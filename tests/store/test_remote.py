"""Artefacts in a storage that machines share."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path

import pytest

from raytuner.errors import ConfigError
from raytuner.pipeline.cache import StageCache, Stored, share_with
from raytuner.pipeline.stage import digest
from raytuner.storage import Storage
from raytuner.store import JSON, Store
from raytuner.store.remote import Remote

KEYS = [digest(["artefact", n]) for n in range(5)]


@pytest.fixture(params=["file", "memory"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"file://{tmp_path}/shared" if request.param == "file" else f"memory://{uuid.uuid4().hex}"


def test_what_one_machine_puts_another_gets(url: str) -> None:
    Remote(Storage(url)).put_many(dict(zip(KEYS[:3], ["a", ["ü"], {"b": 1}], strict=True)), JSON)
    assert Remote(Storage(url)).get_many(KEYS, JSON) == dict(zip(KEYS[:3], ["a", ["ü"], {"b": 1}], strict=True))


def test_what_is_damaged_or_of_another_key_is_not_there(tmp_path: Path) -> None:
    remote = Remote(Storage(f"file://{tmp_path}"))
    remote.put_many(dict.fromkeys(KEYS[:3], "text"), JSON)
    first, second, third = (tmp_path / key[:2] / f"{key}.json" for key in KEYS[:3])
    first.write_bytes(first.read_bytes()[:-1])
    second.write_bytes(b"")
    (tmp_path / KEYS[3][:2]).mkdir(exist_ok=True)
    third.rename(tmp_path / KEYS[3][:2] / f"{KEYS[3]}.json")
    assert remote.get_many(KEYS, JSON) == {}


def test_a_storage_that_fails_is_said_once_and_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    remote = Remote(Storage(f"file://{tmp_path}/shared"))
    (tmp_path / "shared").rmdir()
    (tmp_path / "shared").write_text("a file")
    with caplog.at_level(logging.WARNING, "raytuner"):
        remote.put_many({KEYS[0]: 1}, JSON)
        remote.put_many({KEYS[1]: 1}, JSON)
        assert remote.get_many(KEYS, JSON) == {}
    (said,) = caplog.messages
    assert said.startswith(f"storage file://{tmp_path}/shared: ")
    assert said.endswith("; the run goes on without it")


def test_a_storage_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/cache cannot be used on node \S+: Not a directory"):
        Storage(f"file://{tmp_path}/file/cache")


def test_a_machine_builds_only_what_no_other_has_stored(url: str, tmp_path: Path) -> None:
    built: list[int] = []

    def build(which: list[int]) -> list[int]:
        built.extend(which)
        return [10 * n for n in which]

    try:
        share_with(Stored(Remote(Storage(url))))
        first, second = (StageCache(Store(tmp_path / name)) for name in ("one", "two"))
        assert first.get_or_build_many(KEYS[:3], build, codec=JSON, stage="test") == [0, 10, 20]
        assert second.get_or_build_many(KEYS, build, codec=JSON, stage="test") == [0, 10, 20, 30, 40]
        assert sorted(built) == [0, 1, 2, 3, 4]
        built.clear()
        deep = second.get_or_build_many(KEYS[:1], build, codec=JSON, stage="test", usable=lambda value: value > 0)
        assert (deep, built) == ([0], [0])  # what is stored does not serve
        share_with(None)
        assert second.get_or_build_many(KEYS, build, codec=JSON, stage="test") == [0, 10, 20, 30, 40]
        assert built == [0], "it has a copy of its own"
    finally:
        share_with(None)
