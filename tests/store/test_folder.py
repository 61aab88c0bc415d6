from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from raytuner.errors import StoreError
from raytuner.pipeline.stage import digest
from raytuner.store import JSON, Store, index
from raytuner.store.folder import is_on_network


def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path) -> None:
    for mode in (0o770, 0o707, 0o777):
        tmp_path.chmod(mode)
        with pytest.raises(StoreError, match=r"other users.*chmod 700"):
            Store(tmp_path)
    tmp_path.chmod(0o755)
    Store(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, -1)
    with pytest.raises(StoreError, match=r"another user.*RAYTUNER_CACHE"):
        Store(tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StoreError, match=r"(File exists|Not a directory).*RAYTUNER_CACHE"):
            Store(folder)


def journal(folder: Path) -> str:
    (path,) = folder.glob("index-*.sqlite")
    connection = sqlite3.connect(path)
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    connection.close()
    return str(mode)


def test_the_journal_fits_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_on_network(tmp_path)
    store = Store(tmp_path / "local")
    store.put(digest(1), 1, JSON, stage="any")
    assert journal(tmp_path / "local") == "wal"
    monkeypatch.setattr(index, "is_on_network", lambda _: True)
    with pytest.raises(StoreError, match=r"on the machine that has its disk.*RAYTUNER_CACHE"):
        Store(tmp_path / "local")
    remote = Store(tmp_path / "remote")
    remote.put(digest(1), 1, JSON, stage="any")
    monkeypatch.undo()
    assert Store(tmp_path / "remote").get(digest(1), JSON) == 1
    assert journal(tmp_path / "remote") == "delete"
