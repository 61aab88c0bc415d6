"""What the store costs: `python tests/benchmarks/store.py [FOLDER]` prints milliseconds."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from raytuner.store import ARRAYS, JSON, Codec, Store


def milliseconds(action: Callable[[], object], times: int = 1) -> float:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        action()
        took.append((time.perf_counter() - began) * 1000)
    return median(took)


def key(number: int) -> str:
    return f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"


def small(store: Store, batch: Callable[[], list[str]], name: str, codec: Codec[Any], value: object) -> None:
    def values() -> dict[str, object]:
        return dict.fromkeys(batch(), value)

    def build(needed: list[int]) -> list[object]:
        return [value] * len(needed)

    keys = batch()
    store.put_many(dict.fromkeys(keys, value), codec, stage="small")
    print(f"put 60 {name}: {milliseconds(lambda: store.put_many(values(), codec, stage='small'), 50):.2f}")
    print(f"get 60 {name}: {milliseconds(lambda: store.get_many(keys, codec), 50):.2f}")
    made = milliseconds(lambda: store.get_or_build_many(batch(), build, codec, stage="small"), 50)
    print(f"build and store 60 {name}: {made:.2f}")


def main(folder: Path) -> None:
    store = Store(folder / "store")
    numbers = iter(range(10**9))
    ranking = {"chunks": np.arange(100), "scores": np.linspace(1, 0, 100), "depth": np.array(100)}

    def batch() -> list[str]:
        return [key(next(numbers)) for _ in range(60)]

    small(store, batch, "rankings of 100", ARRAYS, ranking)
    small(store, batch, "answers of 300 characters", JSON, "x" * 300)
    matrix = np.random.default_rng(0).random((65_000, 384), dtype=np.float32)
    large = key(next(numbers))
    megabytes = matrix.nbytes / 1e6
    stored = milliseconds(lambda: store.put(large, {"array": matrix}, ARRAYS, stage="large"))
    print(f"put a matrix of {megabytes:.0f} MB: {stored:.1f}")
    other = Store(folder / "store")
    print(f"its first read in a process: {milliseconds(lambda: other.get(large, ARRAYS)):.1f}")
    print(f"its second: {milliseconds(lambda: other.get(large, ARRAYS), 20):.2f}")
    print(f"open a store: {milliseconds(lambda: Store(folder / 'store'), 20):.2f}")
    for _ in range(300):
        store.put_many(dict.fromkeys(batch(), ranking), ARRAYS, stage="small")
    keys = batch()
    store.put_many(dict.fromkeys(keys, ranking), ARRAYS, stage="small")
    print(f"get 60 of 18,000: {milliseconds(lambda: store.get_many(keys, ARRAYS), 50):.2f}")
    put = milliseconds(lambda: store.put_many(dict.fromkeys(batch(), ranking), ARRAYS, stage="small"), 50)
    print(f"put 60 beside 18,000: {put:.2f}")
    print(f"info: {milliseconds(store.info):.1f}")
    print(f"clear: {milliseconds(store.clear):.1f}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
