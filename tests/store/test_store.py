from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raytuner.pipeline.stage import digest
from raytuner.store import ARRAYS, JSON, Store
from raytuner.store.locks import KeyLocks

LARGE = 3 * 2**20
"""Enough to be mapped."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def test_what_is_put_is_got_by_another_store(store: Store) -> None:
    store.put(digest(1), {"a": [1, "ü"]}, JSON, stage="one")
    store.put(digest(2), {"x": np.arange(LARGE // 8)}, ARRAYS, stage="two")
    other = Store(store.folder)
    assert other.get(digest(1), JSON) == {"a": [1, "ü"]}
    found = other.get(digest(2), ARRAYS)
    assert found is not None
    assert np.array_equal(found["x"], np.arange(LARGE // 8))
    assert other.get(digest(3), JSON) is None
    assert other.get(digest(1), ARRAYS) is None  # stored in another format


def test_large_arrays_are_maps_of_a_file_which_outlive_it(store: Store) -> None:
    store.put(digest(1), {"x": np.arange(LARGE // 8)}, ARRAYS, stage="two")
    found = store.get(digest(1), ARRAYS)
    assert found is not None
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert str(store.folder) in maps.read_text()
    store.clear()
    assert store.get(digest(1), ARRAYS) is None
    assert list((store.folder / "files").rglob("*.safetensors")) == []
    assert int(found["x"].sum()) == sum(range(LARGE // 8))


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.dictionaries(st.integers(0, 9), st.integers(0, 120_000), min_size=1), min_size=1, max_size=5))
def test_get_after_put(values: list[dict[int, int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    store = Store(tmp_path_factory.mktemp("cache"))
    expected: dict[str, str] = {}
    for part in values:
        new = {digest(key): f"{len(expected)}" * size for key, size in part.items()}
        store.put_many(new, JSON, stage="any")
        expected |= new
        assert store.get_many([digest(key) for key in range(10)], JSON) == expected
    assert store.info().artefacts == len(expected)
    assert store.info().bytes == sum(len(value) + 2 for value in expected.values())
    on_disk = [path for path in (store.folder / "files").rglob("*") if path.is_file()]
    assert len(on_disk) == sum(len(value) + 2 > 64 * 1024 for value in expected.values())
    store.close()


def test_it_is_built_once(store: Store) -> None:
    built: list[int] = []

    def build() -> Any:
        built.append(1)

    for _ in range(2):
        assert store.get_or_build(digest(1), build, JSON, stage="none") is None  # which is an artefact, too
    assert built == [1]


def test_threads_build_once(store: Store) -> None:
    barrier = threading.Barrier(8)
    built: list[str] = []
    results: list[Any] = []

    def ask() -> None:
        barrier.wait()
        for number in range(20):
            results.append(store.get_or_build(digest(number), lambda: built.append("x") or "value", JSON, stage="any"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 20
    assert results == ["value"] * 160


def test_many_are_built_in_one_call_where_they_are_needed(store: Store) -> None:
    keys = [digest(number) for number in (1, 2, 1, 3)]
    asked: list[list[int]] = []

    def build(depth: int) -> Any:
        return lambda positions: asked.append(positions) or [{"depth": depth, "key": keys[p]} for p in positions]

    store.put(keys[1], {"depth": 9, "key": keys[1]}, JSON, stage="rank")
    found = store.get_or_build_many(keys, build(5), JSON, stage="rank", usable=lambda value: value["depth"] >= 5)
    assert asked == [[0, 3]]
    assert [(value["depth"], value["key"]) for value in found] == [
        (5, keys[0]),
        (9, keys[1]),
        (5, keys[0]),
        (5, keys[3]),
    ]
    deeper = store.get_or_build_many(keys, build(7), JSON, stage="rank", usable=lambda value: value["depth"] >= 7)
    assert asked == [[0, 3], [0, 3]]
    assert [value["depth"] for value in deeper] == [7, 9, 7, 7]
    assert {value["depth"] for value in Store(store.folder).get_many(keys, JSON).values()} == {7, 9}


def test_a_large_artefact_is_replaced_with_its_file(store: Store) -> None:
    for number in (1, 2):
        store.put(digest(1), {"x": np.full(LARGE, number, np.uint8)}, ARRAYS, stage="two")
    (path,) = (store.folder / "files" / "two").iterdir()
    assert path.name.startswith(digest(1))
    store.put(digest(1), {"x": np.zeros(1)}, ARRAYS, stage="two")
    assert list((store.folder / "files" / "two").iterdir()) == []
    assert store.info().artefacts == 1


def test_builds_may_ask_for_what_they_are_made_of(store: Store) -> None:
    def outer() -> str:
        return store.get_or_build(digest("inner"), lambda: "inner", JSON, stage="inner") + " and outer"

    assert store.get_or_build(digest("outer"), outer, JSON, stage="outer") == "inner and outer"


def test_an_error_of_a_build_is_the_callers_and_nothing_is_kept(store: Store) -> None:
    def fail() -> None:
        raise OSError("mine")

    with pytest.raises(OSError, match="mine"):
        store.get_or_build(digest(1), fail, JSON, stage="any")
    assert store.get_or_build(digest(1), lambda: 1, JSON, stage="any") == 1


def test_only_the_user_may_look(store: Store) -> None:
    previous = os.umask(0)
    try:
        for number in range(2):
            other = Store(store.folder.parent / f"another{number}")
            with other.lease():
                other.put(digest(1), "x" * LARGE, JSON, stage="large")
                other.put(digest(2), "small", JSON, stage="small")
                other.get_or_build(digest(3), lambda: 1, JSON, stage="small")
                paths = [other.folder, *other.folder.rglob("*")]
                assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_dir()} == {0o700}
                assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o600}
                assert sum(path.is_file() for path in paths) >= 4
    finally:
        os.umask(previous)


@pytest.mark.parametrize(("key", "stage"), [("../up", "one"), (digest(1).upper(), "one"), (digest(1), "../up")])
def test_names_that_are_no_file_names_are_refused(store: Store, key: str, stage: str) -> None:
    with pytest.raises(ValueError, match="use "):
        store.put(key, 1, JSON, stage=stage)


def test_a_removed_folder_is_made_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    import shutil

    store.put(digest(1), 1, JSON, stage="one")
    shutil.rmtree(store.folder)
    assert store.get(digest(1), JSON) is None
    assert store.get_or_build(digest(1), lambda: "x" * LARGE, JSON, stage="one") == "x" * LARGE
    assert Store(store.folder).info().artefacts == 1
    assert caplog.text == ""


def test_info_and_clear(store: Store) -> None:
    store.put_many({digest(number): "x" * 98 for number in range(3)}, JSON, stage="small")
    store.put(digest(9), "x" * (LARGE - 2), JSON, stage="large")
    info = store.info()
    assert (info.folder, info.limit) == (store.folder, store.limit)
    assert {stage: (count.artefacts, count.bytes) for stage, count in info.stages.items()} == {
        "small": (3, 300),
        "large": (1, LARGE),
    }
    assert (info.artefacts, info.bytes) == (4, LARGE + 300)
    assert info.oldest is not None and info.newest is not None
    assert info.oldest <= info.newest == info.stages["large"].newest
    assert store.clear(unused_s=60).artefacts == 4
    assert store.clear(stages=["large"]).artefacts == 3
    assert store.clear().artefacts == 0


def test_what_is_built_together_is_built_in_batches_also_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError("no locks")

    for name in ("free", "holding"):
        monkeypatch.setattr(KeyLocks, name, none)
    batches: list[list[int]] = []

    def build(needed: list[int]) -> list[int]:
        batches.append(needed)
        return needed

    keys = [digest(number) for number in range(100)]
    assert Store(tmp_path / "cache").build_together(keys, build, JSON, stage="any", at_least=10) == list(range(100))
    assert [number for batch in batches for number in batch] == list(range(100))
    assert min(map(len, batches[:-1])) >= 10
