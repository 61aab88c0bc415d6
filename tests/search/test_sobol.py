"""Quasi-random points."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from ray import tune

from raytuner.search.sobol import sobol_points
from raytuner.search.task import Task
from raytuner.space import Raw, SearchSpace


def points(spec: dict[str, Any], count: int, seed: int = 0, first: tuple[Raw, ...] = ()) -> list[Raw]:
    space = SearchSpace.from_dict(spec)
    return list(itertools.islice(sobol_points(Task(space, "score", "max", seed, first)), count))


@pytest.mark.parametrize("seed", range(5))
def test_points_are_spread_out_evenly(seed: int) -> None:
    found = points({"t": {"float": [0, 16]}, "n": {"int": [0, 15]}, "a": list("abcd")}, 16, seed)
    assert sorted(int(point["t"]) for point in found) == list(range(16))  # one in each sixteenth
    assert sorted(point["n"] for point in found) == list(range(16))
    assert sorted(point["a"] for point in found) == sorted("abcd" * 4)


def test_orders_of_magnitude_have_equal_shares() -> None:
    found = points({"rate": {"float": [1e-4, 1], "log": True}, "n": {"int": [1, 9999], "log": True}}, 256)
    for name, low in [("rate", 1e-4), ("n", 1)]:
        shares = [sum(low * 10**k <= point[name] < low * 10 ** (k + 1) for point in found) for k in range(4)]
        assert all(abs(share - 64) <= 3 for share in shares)


def test_normal_distributions_are_drawn_too() -> None:
    found = sorted(point["z"] for point in points({"z": tune.randn(3, 2), "a": [1, 2]}, 64))
    assert found[32] == pytest.approx(3, abs=0.2)
    assert found[10] == pytest.approx(1, abs=0.4)  # one standard deviation below


def test_no_point_comes_twice_in_a_small_space() -> None:
    space = SearchSpace.from_dict({"a": [1, 2, 3], "b": {"choice": [4, 5, 6], "when": {"a": 3}}})
    first = {"a": 1, "b": 4}
    found = points({"a": [1, 2, 3], "b": {"choice": [4, 5, 6], "when": {"a": 3}}}, 4, 0, (first,))
    assert len({space.key(point) for point in [first, *found]}) == 5 == space.size()


def test_the_seed_fixes_them() -> None:
    spec = {"t": {"float": [0, 1]}, "n": {"int": [1, 9]}}
    assert points(spec, 20, 3) == points(spec, 20, 3) != points(spec, 20, 4)
