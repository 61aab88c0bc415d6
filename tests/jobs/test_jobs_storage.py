"""Copying a run folder elsewhere while it is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec
import pytest

from raytuner.errors import ConfigError, RaytunerError
from raytuner.jobs import storage as module
from raytuner.jobs.storage import Mirror
from raytuner.storage import checked_storage


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder as it begins."""
    folder = tmp_path / "head" / "rag-1"
    folder.mkdir(mode=0o700, parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "run.json").chmod(0o600)
    (folder / "log.jsonl").write_text('{"kind": "start"}\n')
    return folder


def there(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_what_is_written_is_there_soon(run: Path, tmp_path: Path) -> None:
    mirror = Mirror(f"file://{tmp_path}/shared/runs")
    assert mirror.look(run) is None
    target = tmp_path / "shared" / "runs" / "rag-1"
    assert there(target) == there(run)
    assert target.stat().st_mode & 0o777 == 0o700
    assert (target / "run.json").stat().st_mode & 0o777 == 0o600
    with (run / "log.jsonl").open("a") as log:
        log.write('{"kind": "block"}\n')
    mirror._next = 0
    mirror.look(run)
    assert (target / "log.jsonl").read_text().count("\n") == 2
    assert not [name for name in there(tmp_path / "shared") if ".part" in name or name.startswith(".")]


def test_it_is_not_looked_at_more_often_than_asked(run: Path, tmp_path: Path) -> None:
    mirror = Mirror(f"file://{tmp_path}/shared")
    mirror.look(run)
    (run / "log.jsonl").write_text("more")
    mirror.look(run)
    assert (tmp_path / "shared" / "rag-1" / "log.jsonl").read_text() != "more"
    mirror.finish(run)
    assert (tmp_path / "shared" / "rag-1" / "log.jsonl").read_text() == "more"


def test_only_what_has_changed_is_copied(run: Path, tmp_path: Path) -> None:
    mirror = Mirror("memory://bucket/runs")
    mirror.copy(run)
    put: list[str] = []
    files = fsspec.filesystem("memory")
    write = files.pipe_file
    mirror._storage.files = files
    files.pipe_file = lambda path, data: (put.append(path), write(path, data))
    (run / "log.jsonl").write_text("longer than before, and another time\n")
    try:
        mirror.copy(run)
    finally:
        del files.pipe_file
    assert put == ["/bucket/runs/rag-1/log.jsonl"]
    assert files.cat_file("/bucket/runs/rag-1/run.json") == b"{}"


class Broken:
    """A file system that fails a number of times."""

    protocol = "broken"

    def __init__(self, times: int) -> None:
        self.times = times

    def makedirs(self, *_: object, **__: object) -> None:
        self.times -= 1
        if self.times >= 0:
            raise OSError(28, "No space left on device")

    def pipe_file(self, *_: object) -> None: ...


def broken(tmp_path: Path, times: int, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    mirror = Mirror(f"file://{tmp_path}/shared")
    mirror._storage.files = Broken(times)
    monkeypatch.setattr(module.time, "sleep", lambda _: None)
    return mirror


def test_no_bucket_is_made_in_an_object_store(run: Path) -> None:
    mirror = Mirror("memory://bucket/runs")
    put: list[str] = []

    class Store(Broken):
        protocol = ("s3", "s3a")

        def pipe_file(self, path: str, _: bytes) -> None:
            put.append(path)

    mirror._storage.files = Store(99)
    mirror.copy(run)
    assert sorted(put) == ["/bucket/runs/rag-1/log.jsonl", "/bucket/runs/rag-1/run.json"]


def test_a_storage_that_fails_for_a_while_is_tried_again(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = broken(tmp_path, 2, monkeypatch)
    assert "No space left" in (mirror.look(run) or "")
    mirror.finish(run)
    assert len(mirror._copied) == 2


def test_a_storage_that_fails_for_good_is_said(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RaytunerError, match=r"could not be copied to file://.*No space left.*raytuner jobs fetch"):
        broken(tmp_path, 99, monkeypatch).finish(run)


def test_a_storage_that_cannot_be_written_names_the_node(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"storage file://.* cannot be used on node .*: .*correct it") as caught:
        Mirror(f"file://{tmp_path}/file/runs")
    assert "\n" not in str(caught.value)


def test_a_storage_whose_library_is_missing_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr("fsspec.core.url_to_fs", missing)
    with pytest.raises(ConfigError, match="Install s3fs to access S3"):
        Mirror("s3://bucket/runs")


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("/mnt/shared", "file:///mnt/shared"),
        ("s3://bucket/runs", "s3://bucket/runs"),
        ("file:///mnt/x", "file:///mnt/x"),
        ("local:///mnt/x/", "file:///mnt/x"),
    ],
)
def test_storages_that_can_be_meant(given: str, url: str) -> None:
    assert checked_storage(given) == url


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("runs", "write a URL .* or an absolute path"),
        ("file://runs", "write a URL .* or an absolute path"),
        ("/", "name a bucket or folder"),
        ("s3://", "name a bucket or folder"),
        ("memory://runs", "ends with its process; write s3://"),
        ("s4://bucket", "fsspec knows no 's4'; write s3://"),
        ("s3://me:passw0rd@bucket/runs", "holds an address with a password"),
        ("s3://bucket/?key=sk-proj-a1B2c3D4e5F6g7H8", "holds what looks like a key"),
    ],
)
def test_storages_that_cannot(given: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        checked_storage(given)
    assert "passw0rd" not in str(caught.value)


def test_log_lines_stay_whole(run: Path, tmp_path: Path) -> None:
    mirror = Mirror(f"file://{tmp_path}/shared")
    (run / "log.jsonl").write_text("".join(json.dumps({"n": n}) + "\n" for n in range(1000)))
    mirror.finish(run)
    lines = (tmp_path / "shared" / "rag-1" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["n"] for line in lines] == list(range(1000))
