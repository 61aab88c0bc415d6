from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from raytuner.pipeline.stage import digest
from raytuner.store import ARRAYS, JSON, Store

SMALL = {digest(number): f"answer {number} " * 20 for number in range(40)}
LARGE = digest("large")
MATRIX = np.arange(20_000.0)


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Path]]:
    """The folders of a closed store and of one in use, which has its last rows in the log."""
    folders = [tmp_path_factory.mktemp("closed") / "cache", tmp_path_factory.mktemp("open") / "cache"]
    stores = [Store(folder) for folder in folders]
    for store in stores:
        store.put_many(SMALL, JSON, stage="answer")
        store.put(LARGE, {"x": MATRIX}, ARRAYS, stage="matrix")
    stores[0].close()
    yield folders
    stores[1].close()


def right_or_missing(store: Store) -> int:
    """How much is missing; what is there must be right."""
    small, large = store.get_many(list(SMALL), JSON), store.get(LARGE, ARRAYS)
    assert small.items() <= SMALL.items()
    assert large is None or np.array_equal(large["x"], MATRIX)
    return len(SMALL) - len(small) + (large is None)


def missing(store: Store) -> int:
    """How much had to be built."""
    built: list[int] = []

    def answers(needed: list[int]) -> list[str]:
        built.extend(needed)
        return [SMALL[keys[i]] for i in needed]

    def matrix() -> dict[str, np.ndarray]:
        built.append(-1)
        return {"x": MATRIX}

    keys = list(SMALL)
    assert store.get_or_build_many(keys, answers, JSON, stage="answer") == list(SMALL.values())
    assert np.array_equal(store.get_or_build(LARGE, matrix, ARRAYS, stage="matrix")["x"], MATRIX)
    return len(built)


def check(folder: Path, lost: int = 0) -> None:
    """The store is never wrong, and after what is missing was built it is whole again, but for some that stay lost."""
    store = Store(folder)
    right_or_missing(store)
    store.info()
    missing(store)
    right_or_missing(store)
    missing(store)  # some damage only shows when it is written to
    store.close()
    again = Store(folder)
    assert missing(again) <= lost
    again.close()


def damage(path: Path, at: float, bit: int) -> None:
    """Flip a bit of a file, or with -1 cut it off."""
    content = bytearray(path.read_bytes())
    place = int(at * len(content))
    if bit < 0:
        del content[place:]
    else:
        content[place] ^= 1 << bit
    path.write_bytes(content)


@settings(max_examples=150, deadline=None)
@example(which=1, at=0.36477562821638276, bit=0, is_open=False)  # a key in SQLite's own index of keys
@given(which=st.integers(0, 9), at=st.floats(0, 1, exclude_max=True), bit=st.integers(-1, 7), is_open=st.booleans())
def test_any_flip_or_cut_is_noticed(
    templates: list[Path], tmp_path_factory: pytest.TempPathFactory, which: int, at: float, bit: int, is_open: bool
) -> None:
    folder = tmp_path_factory.mktemp("damaged") / "cache"
    shutil.copytree(templates[is_open], folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    path = files[which % len(files)]
    damage(path, at, bit)
    # A key out of order in a tree of SQLite may hide its neighbours, which then are built again each time.
    check(folder, lost=3)
    shutil.rmtree(folder)


@settings(max_examples=60, deadline=None)
@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(-1, 7))
def test_a_damaged_file_is_not_used(
    templates: list[Path], tmp_path_factory: pytest.TempPathFactory, at: float, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("damaged") / "cache"
    shutil.copytree(templates[0], folder)
    (path,) = (folder / "files" / "matrix").iterdir()
    damage(path, at, bit)
    store = Store(folder)
    assert store.get(LARGE, ARRAYS) is None
    assert not path.exists()
    store.close()
    shutil.rmtree(folder)


def test_a_file_that_changes_after_it_was_checked_is_checked_again(templates: list[Path], tmp_path: Path) -> None:
    shutil.copytree(templates[0], tmp_path / "cache")
    store = Store(tmp_path / "cache")
    assert right_or_missing(store) == 0
    (path,) = (tmp_path / "cache" / "files" / "matrix").iterdir()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert right_or_missing(store) == 1


@pytest.mark.parametrize("damage", [b"", b"no database", bytes(100_000)], ids=["empty", "text", "zeros"])
def test_files_outlive_their_index(
    templates: list[Path], tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "cache"
    shutil.copytree(templates[0], folder)
    (index,) = folder.glob("index-*.sqlite")
    index.write_bytes(damage)
    store = Store(folder)
    assert right_or_missing(store) == len(SMALL)
    (path,) = (folder / "files" / "matrix").iterdir()
    assert store.info().stages["matrix"].bytes == path.stat().st_size
    assert ("is damaged" in caplog.text) == bool(damage)
    check(folder)


def test_a_process_notices_that_another_replaced_the_index(templates: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    shutil.copytree(templates[0], folder)
    first, second = Store(folder), Store(folder)
    assert right_or_missing(first) == right_or_missing(second) == 0
    (index,) = folder.glob("index-*.sqlite")
    for path in (index, index.with_name(index.name + "-wal")):
        path.write_bytes(b"x" * path.stat().st_size)
    third = Store(folder)
    assert right_or_missing(third) == len(SMALL)
    second.put_many(SMALL, JSON, stage="answer")
    assert [right_or_missing(store) for store in (first, second, third)] == [0, 0, 0]
    assert len(list(folder.glob("index-*.sqlite"))) == 1


def test_a_damaged_name_in_the_index(templates: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    shutil.copytree(templates[0], folder)
    (index,) = folder.glob("index-*.sqlite")
    content = index.read_bytes()
    assert b"BEGIN UPDATE" in content
    index.write_bytes(content.replace(b"BEGIN UPDATE", b"B\xffGIN UPDATE"))  # SQLite's message is no UTF-8 then
    check(folder)


def test_a_damaged_total_evicts_nothing(templates: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    shutil.copytree(templates[0], folder)
    (index,) = folder.glob("index-*.sqlite")
    connection = sqlite3.connect(index)
    connection.execute("UPDATE total SET bytes = bytes + (1 << 60)")
    connection.commit()
    connection.close()
    store = Store(folder)
    store.put(digest("new"), "new", JSON, stage="answer")
    assert right_or_missing(store) == 0
    assert store.get(digest("new"), JSON) == "new"


def test_one_wrong_byte_costs_one_small_artefact(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    store.put_many(SMALL, JSON, stage="answer")
    store.close()
    damaged = next(iter(SMALL))
    (index,) = (tmp_path / "cache").glob("index-*.sqlite")
    connection = sqlite3.connect(index)
    ((content,),) = connection.execute("SELECT content FROM artefact WHERE key = ?", (damaged,))
    flipped = content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]
    connection.execute("UPDATE artefact SET content = ? WHERE key = ?", (flipped, damaged))
    connection.commit()
    connection.close()
    store = Store(tmp_path / "cache")
    assert store.get_many(list(SMALL), JSON) == {key: value for key, value in SMALL.items() if key != damaged}
    assert store.info().artefacts == len(SMALL) - 1
    store.close()
