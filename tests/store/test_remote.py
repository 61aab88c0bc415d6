"""Artefacts in a storage that machines share."""

from __future__ import annotations

import asyncio
import logging
import stat
import uuid
from pathlib import Path
from typing import Any

import pytest
from fsspec.asyn import AsyncFileSystem

from raytuner.errors import ConfigError
from raytuner.pipeline.cache import StageCache, Stored, share_with
from raytuner.pipeline.stage import digest
from raytuner.storage import Storage
from raytuner.store import JSON, Store
from raytuner.store.remote import Remote

KEYS = [digest(["artefact", n]) for n in range(5)]


@pytest.fixture(params=["file", "memory", "brackets"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    urls = {
        "file": f"file://{tmp_path}/shared",
        "memory": f"memory://{uuid.uuid4().hex}",
        "brackets": f"file://{tmp_path}/team [a]*?",
    }
    return urls[request.param]


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


def test_a_file_system_that_reads_many_at_once_is_asked_so(tmp_path: Path) -> None:
    class Waiting(AsyncFileSystem):
        """Answers when all are asked for."""

        asked = 0

        async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
            self.asked += 1
            while self.asked < len(KEYS):
                await asyncio.sleep(0)
            return Path(path).read_bytes()[start:end]

    storage = Storage(f"file://{tmp_path}/[shared]")
    Remote(storage).put_many(dict.fromkeys(KEYS[:3], "text"), JSON)
    storage.files = Waiting(skip_instance_cache=True)
    assert Remote(storage).get_many(KEYS, JSON) == dict.fromkeys(KEYS[:3], "text")


def modes(folder: Path) -> set[int]:
    return {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_what_is_shared_on_a_disk_is_its_owners(tmp_path: Path) -> None:
    (tmp_path / "before").mkdir(mode=0o755)
    Remote(Storage(f"file://{tmp_path}/before/cache")).put_many(dict.fromkeys(KEYS, 1), JSON)
    assert modes(tmp_path / "before") == modes(tmp_path / "before" / "cache") == {0o700}
    assert modes(tmp_path) == {0o755}


def test_a_group_that_shares_a_folder_shares_what_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o2770)
    Remote(Storage(f"file://{folder}")).put_many(dict.fromkeys(KEYS, 1), JSON)
    assert modes(tmp_path) == modes(folder) == {0o2770}


@pytest.mark.parametrize("url", ["memory://", "file:///", "file://", "memory:////"])
def test_a_storage_names_a_folder(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"storage '{url}': name a bucket or folder"):
        Storage(url)
    assert list(tmp_path.iterdir()) == []


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
