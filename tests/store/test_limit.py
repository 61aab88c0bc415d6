from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raytuner.errors import StoreError
from raytuner.pipeline.stage import digest
from raytuner.store import JSON, Store, empty

PUTS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 130_000)), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(before=PUTS, under=PUTS)
def test_the_limit_holds_but_for_what_is_leased(
    before: list[tuple[int, int]], under: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(tmp_path_factory.mktemp("cache"), limit=200_000)
    for number, size in before:
        store.put(digest(number), "x" * size, JSON, stage="any")
        assert store.info().bytes <= store.limit
    leased: dict[str, int] = {}
    with Store(store.folder, limit=200_000).lease(), store.lease():
        for number, size in under:
            leased[digest(number)] = size
            store.put(digest(number), "x" * size, JSON, stage="any")
            needed = sum(leased.values()) + 2 * len(leased)
            assert store.info().bytes <= max(store.limit, needed)
            assert {key: len(value) for key, value in store.get_many(list(leased), JSON).items()} == leased
    store.put(digest("last"), "x", JSON, stage="any")
    assert store.info().bytes <= store.limit
    on_disk = sum(path.stat().st_size for path in (store.folder / "files").rglob("*") if path.is_file())
    assert on_disk <= store.limit
    store.close()


def filled(folder: Path, number: int = 10) -> Store:
    """A store whose artefacts, of a tenth of its limit each, were last used in their order."""
    store = Store(folder, limit=10_000)
    for i in range(number):
        store.put(digest(i), "x" * 998, JSON, stage="any")
    return store


def there(store: Store) -> set[int]:
    return {i for i in range(20) if store.get_many([digest(i)], JSON)}


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    store = filled(tmp_path)
    with store.lease():  # which is when times of use are exact
        store.get(digest(0), JSON)
    store.put(digest(10), "x" * 998, JSON, stage="any")
    assert there(store) == {0, *range(3, 11)}


def test_what_does_not_fit_is_not_stored_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = filled(tmp_path)
    assert store.get_or_build(digest(10), lambda: "x" * 20_000, JSON, stage="any") == "x" * 20_000
    assert "RAYTUNER_CACHE_LIMIT" in caplog.text
    assert there(store) == set(range(10))


HOLDER = """
import sys, time
from raytuner.store import JSON, Store
store = Store(sys.argv[1], limit=10_000)
with store.lease():
    assert len(store.get_many(sys.argv[2:], JSON)) == len(sys.argv) - 2
    print("holds", flush=True)
    time.sleep(600)
"""


def test_a_lease_of_another_process_holds_until_it_is_killed(tmp_path: Path) -> None:
    store = filled(tmp_path)
    command = [sys.executable, "-c", HOLDER, str(tmp_path), digest(0), digest(1)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holds\n"
        for i in range(10, 20):
            store.put(digest(i), "x" * 998, JSON, stage="any")
        # What others have put since is kept, too; without a lease of one's own no more than the limit.
        assert there(store) >= {0, 1}
        assert store.info().bytes <= store.limit
        assert store.clear().artefacts == len(there(store)) > 1
        holder.kill()
    store.put(digest(19), "x" * 9_998, JSON, stage="any")
    assert there(store) == {19}
    assert list((tmp_path / "leases").iterdir()) == []


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("1500", 1500), ("20GB", 20 * 10**9), ("1.5 mb", 1_500_000), (" 2 kB", 2000)]
)
def test_the_limit_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    monkeypatch.setenv("RAYTUNER_CACHE_LIMIT", text)
    assert Store(tmp_path).limit == size


@pytest.mark.parametrize("text", ["much", "-1", "1 EB", "GB", "1e9"])
def test_a_limit_that_is_no_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("RAYTUNER_CACHE_LIMIT", text)
    with pytest.raises(StoreError, match=r"RAYTUNER_CACHE_LIMIT: .* 20GB"):
        Store(tmp_path)


def test_the_default_limit_is_a_share_of_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAYTUNER_CACHE_LIMIT", raising=False)
    status = os.statvfs(tmp_path)
    assert Store(tmp_path).limit == min(20 * 10**9, status.f_blocks * status.f_frsize // 10)


@pytest.fixture
def tiny_disk(small_disk: Callable[[str], Path]) -> Path:
    return small_disk("1m")


def test_a_full_disk_is_one_clear_error(tiny_disk: Path) -> None:
    store = Store(tiny_disk / "cache", limit=10**9)
    store.put(digest("first"), "x" * 100_000, JSON, stage="any")
    says = "no space left.*raytuner cache clear.*RAYTUNER_CACHE"
    with pytest.raises(StoreError, match=says) as caught:
        store.put(digest("large"), "x" * 2_000_000, JSON, stage="any")
    assert str(store.folder) in str(caught.value)
    assert list((store.folder / "tmp").iterdir()) == []
    with pytest.raises(StoreError, match=says):
        for number in range(1000):
            store.put(digest(number), "x" * 10_000, JSON, stage="any")
    assert store.get(digest("first"), JSON) == "x" * 100_000
    assert store.get(digest(0), JSON) == "x" * 10_000
    store.close()


def test_a_run_goes_on_without_space(tiny_disk: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tiny_disk / "cache", limit=10**9)
    with ExitStack() as lease:
        lease.enter_context(store.lease())
        for number in range(100):
            value = f"{number}" * 30_000
            assert store.get_or_build(digest(number), lambda value=value: value, JSON, stage="any") == value
    assert caplog.text.count("no space left") == 1
    assert store.get(digest(0), JSON) == "0" * 30_000
    empty(store.folder)
    assert store.info().artefacts == 0
    store.close()


def test_a_full_disk_cannot_be_opened_but_emptied(tiny_disk: Path) -> None:
    folder = tiny_disk / "cache"
    store = Store(folder, limit=10**9)
    store.put_many({digest(number): "x" * 10_000 for number in range(20)}, JSON, stage="any")
    store.close()
    with (tiny_disk / "ballast").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while True:
            file.write(bytes(4096))
    with pytest.raises(StoreError, match=r"no space left.*RAYTUNER_CACHE"):
        Store(folder)
    empty(folder)
    assert Store(folder).info().artefacts == 0


def test_a_disk_that_cannot_be_written(tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(StoreError, match=r"Read-only file system.*RAYTUNER_CACHE"):
        Store(tiny_disk / "cache")
