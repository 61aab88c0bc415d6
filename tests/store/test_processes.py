"""Processes that ask for the same at once, and processes that are killed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytuner.pipeline.stage import digest
from raytuner.store import ARRAYS, JSON, Store
from raytuner.store.locks import is_left_over

SPAWN = multiprocessing.get_context("spawn")
KEY = digest("key")
SIZE = 2_000_000


def note(folder: Path, what: str) -> None:
    """Append a line, which the system does at once."""
    with (folder / "notes").open("a") as file:
        file.write(f"{what}\n")


def notes(folder: Path) -> list[str]:
    path = folder / "notes"
    return path.read_text().splitlines() if path.exists() else []


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def matrix(folder: Path, seconds: float) -> dict[str, Any]:
    note(folder, f"begin {os.getpid()}")
    time.sleep(seconds)
    note(folder, "end")
    return {"x": np.arange(SIZE)}


def ask(folder: Path, seconds: float) -> None:
    note(folder, "asks")
    artefact = Store(folder / "cache").get_or_build(KEY, lambda: matrix(folder, seconds), ARRAYS, stage="matrix")
    assert np.array_equal(artefact["x"], np.arange(SIZE))
    note(folder, "has it")


def start(target: Callable[..., None], *args: object) -> Any:
    process = SPAWN.Process(target=target, args=args)
    process.start()
    return process


def begun(folder: Path) -> list[int]:
    return [int(line.split()[1]) for line in notes(folder) if line.startswith("begin")]


def test_two_processes_build_once(tmp_path: Path) -> None:
    processes = [start(ask, tmp_path, 0.5) for _ in range(3)]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    said = notes(tmp_path)
    assert len(begun(tmp_path)) == 1
    assert said.count("has it") == 3
    assert said.index("end") < said.index("has it")


def test_the_other_builds_if_the_builder_is_killed(tmp_path: Path) -> None:
    first = start(ask, tmp_path, 600)
    wait_for(lambda: begun(tmp_path))
    second = start(ask, tmp_path, 0)
    wait_for(lambda: notes(tmp_path).count("asks") == 2)
    time.sleep(0.5)
    assert begun(tmp_path) == [first.pid]  # the second waits
    os.kill(first.pid, signal.SIGKILL)
    second.join(60)
    assert second.exitcode == 0
    assert begun(tmp_path) == [first.pid, second.pid]


def build_many(folder: Path, numbers: list[int]) -> None:
    def build(needed: list[int]) -> list[Any]:
        for i in needed:
            note(folder, f"begin {numbers[i]}")
        time.sleep(0.3)
        return [f"value {numbers[i]}" for i in needed]

    store = Store(folder / "cache")
    found = store.get_or_build_many([digest(number) for number in numbers], build, JSON, stage="many")
    assert found == [f"value {number}" for number in numbers]


def test_overlapping_batches_build_each_once(tmp_path: Path) -> None:
    batches = [list(range(0, 40)), list(range(20, 60)), list(range(59, -1, -1))]
    processes = [start(build_many, tmp_path, batch) for batch in batches]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(begun(tmp_path)) == list(range(60))


def build_together(folder: Path, numbers: list[int], seconds: float) -> None:
    def build(needed: list[int]) -> list[Any]:
        for i in needed:
            note(folder, f"begin {numbers[i]} {os.getpid()}")
        time.sleep(seconds * len(needed))
        return [f"value {numbers[i]}" for i in needed]

    store = Store(folder / "cache")
    note(folder, "asks")
    wait_for(lambda: notes(folder).count("asks") >= 2)
    found = store.build_together([digest(number) for number in numbers], build, JSON, stage="many")
    assert found == [f"value {number}" for number in numbers]


def test_what_is_built_together_is_shared_out(tmp_path: Path) -> None:
    orders = [list(range(60)), list(range(40, -1, -1)) + list(range(41, 60))]
    processes = [start(build_together, tmp_path, order, 0.02) for order in orders]
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert sorted(begun(tmp_path)) == list(range(60))
    builders = [int(line.split()[2]) for line in notes(tmp_path) if line.startswith("begin")]
    assert all(builders.count(process.pid) >= 15 for process in processes)


def test_what_a_killed_process_had_claimed_is_built_by_another(tmp_path: Path) -> None:
    first, second = (start(build_together, tmp_path, list(range(20)), seconds) for seconds in (600, 0.01))
    wait_for(lambda: len(begun(tmp_path)) >= 20)
    os.kill(first.pid, signal.SIGKILL)
    second.join(60)
    assert second.exitcode == 0
    assert set(begun(tmp_path)) == set(range(20))


def put_for_ever(folder: Path, seed: int) -> None:
    store = Store(folder / "cache")
    number = 0
    while True:
        number += 1
        store.put(digest(["large", number % 5]), {"x": np.full(SIZE, seed * 1000 + number)}, ARRAYS, stage="large")
        values = {digest(["small", i]): [seed, number] * 50 for i in range(60)}
        store.put_many(values, JSON, stage="small")
        if number == 3:
            note(folder, "runs")


def test_killed_writers_leave_nothing_half_written(tmp_path: Path) -> None:
    for round_ in range(4):
        writers = [start(put_for_ever, tmp_path, seed) for seed in (1, 2)]
        wait_for(lambda count=2 * round_ + 2: notes(tmp_path).count("runs") == count)
        time.sleep(0.05 + 0.03 * round_)
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.join()
        store = Store(tmp_path / "cache")
        for number in range(5):
            large = store.get(digest(["large", number]), ARRAYS)
            assert large is None or (large["x"] == large["x"][0]).all()
        small = store.get_many([digest(["small", i]) for i in range(60)], JSON)
        assert len(small) == 60
        assert len({str(value) for value in small.values()}) == 1  # a batch is there or not
    left = list((tmp_path / "cache" / "tmp").iterdir())
    assert all(is_left_over(path) for path in left)
    for path in left:
        os.utime(path, (0, 0))  # their writers died an hour ago
    Store(tmp_path / "cache")
    assert list((tmp_path / "cache" / "tmp").iterdir()) == []


def test_a_forked_process_uses_the_store_too(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    store.put(KEY, "parent", JSON, stage="any")
    child = multiprocessing.get_context("fork").Process(target=in_fork, args=(store, tmp_path))
    with store._disk.locks.holding([digest("locked")]):  # which the child does not inherit
        child.start()
        wait_for(lambda: "found parent" in notes(tmp_path))
        time.sleep(0.2)
        assert "built" not in notes(tmp_path)
    child.join(60)
    assert child.exitcode == 0
    assert store.get(digest("locked"), JSON) == "child"
    assert store.get_or_build(digest("after"), lambda: "parent", JSON, stage="any") == "parent"


def in_fork(store: Store, folder: Path) -> None:
    note(folder, f"found {store.get(KEY, JSON)}")
    store.get_or_build(digest("locked"), lambda: note(folder, "built") or "child", JSON, stage="any")


def hammer(folder: Path, seed: int) -> None:
    generator = np.random.default_rng(seed)
    store = Store(folder / "cache", limit=3_000_000)
    for _ in range(150):
        with store.lease():
            numbers = generator.integers(0, 30, 5).tolist()
            values = {digest(n): "x" * (n * 10_000) for n in numbers}
            expected = list(values.values())
            found = store.get_or_build_many(
                list(values), lambda needed, all_=expected: [all_[i] for i in needed], JSON, stage="any"
            )
            assert found == expected
            assert store.get_many(list(values), JSON) == values  # leased
            if seed == 0 and generator.random() < 0.05:
                store.clear()


@pytest.mark.slow
def test_many_processes_at_once(tmp_path: Path) -> None:
    processes = [start(hammer, tmp_path, seed) for seed in range(4)]
    for process in processes:
        process.join(100)
    assert [process.exitcode for process in processes] == [0] * 4
    Store(tmp_path / "cache", limit=3_000_000).put(KEY, "x", JSON, stage="any")
    rows = Store(tmp_path / "cache").info().artefacts
    assert rows > 0
