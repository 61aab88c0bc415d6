"""The stage cache."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raytuner import memory
from raytuner.pipeline.cache import NotOnDiskError, OnDisk, StageCache
from raytuner.pipeline.stage import digest
from raytuner.store import JSON, Store


def test_built_once() -> None:
    cache, built = StageCache(), []
    for _ in range(3):
        assert cache.get_or_build("key", lambda: built.append(1) or len(built)) == 1
    assert cache.get_or_build("other", lambda: None) is None


def test_by_default_it_keeps_the_share_of_the_memory_that_its_process_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "for_artefacts", lambda: 2000)
    cache = StageCache()
    for name in "abc":
        cache.get_or_build(name, lambda: "x" * 900)  # 1000 bytes each
    assert [name for name in "abc" if cache.get(name) is not None] == ["b", "c"]


def test_built_once_when_threads_ask_at_once() -> None:
    cache, built = StageCache(), []

    def build() -> int:
        time.sleep(0.05)
        built.append(1)
        return len(built)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: cache.get_or_build("key", build), range(8))) == {1}


def test_a_build_may_use_the_cache() -> None:
    cache = StageCache()
    assert cache.get_or_build("outer", lambda: cache.get_or_build("inner", lambda: 1) + 1) == 2


def test_a_failed_build_leaves_nothing() -> None:
    cache = StageCache()
    with pytest.raises(ZeroDivisionError):
        cache.get_or_build("key", lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        cache.get_or_build_many(["key"], lambda needed: [1 // 0])
    assert cache.get_or_build("key", lambda: 1) == 1


def test_of_several_only_the_missing_and_unusable_are_built() -> None:
    cache, calls = StageCache(), []

    def build(needed: list[int]) -> list[int]:
        calls.append(needed)
        return [10 * len(calls) + position for position in needed]

    assert cache.get_or_build_many(["a", "b"], build) == [10, 11]
    assert cache.get_or_build_many(["b", "c", "a"], build) == [11, 21, 10]
    assert cache.get_or_build_many(["a", "b", "c"], build) == [10, 11, 21]
    assert cache.get_or_build_many(["a", "b", "c"], build, usable=lambda artefact: artefact > 10) == [30, 11, 21]
    assert calls == [[0, 1], [1], [0]]


def test_what_is_on_disk_is_only_looked_at(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    keys = [digest(number) for number in range(3)]
    StageCache(store).get_or_build_many(keys[:2], lambda needed: needed, codec=JSON, stage="s")
    cache = OnDisk(store)
    assert cache.get_many(keys, JSON) == {keys[0]: 0, keys[1]: 1}
    assert cache.get_or_build_many(keys[:2], lambda _: [], codec=JSON, stage="s") == [0, 1]
    with pytest.raises(NotOnDiskError):
        cache.get_or_build_many(keys, lambda needed: needed, codec=JSON, stage="s")
    with pytest.raises(NotOnDiskError):
        cache.get_or_build_many(keys[:2], lambda needed: needed, codec=JSON, stage="s", usable=bool)
    assert store.present(keys) == set(keys[:2])
    assert cache.get_or_build(digest("cheap"), lambda: 7) == 7
    with pytest.raises(NotOnDiskError):
        OnDisk(None).get_or_build(keys[0], lambda: 7, codec=JSON)
