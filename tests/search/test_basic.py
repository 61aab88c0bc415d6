"""Grid and random search: their points depend on nothing but the space and the seed."""

from __future__ import annotations

import math
import time

import pytest

from raytuner.space import SearchSpace
from raytuner.testing import Drive
from raytuner.testing.functions import FINITE


def test_a_grid_is_in_order() -> None:
    space = SearchSpace.from_dict({"b": [2, 1], "a": ["x", "y"]})
    assert Drive("grid", space, flight=3).configs == [
        {"a": "x", "b": 2},
        {"a": "y", "b": 2},
        {"a": "x", "b": 1},
        {"a": "y", "b": 1},
    ]


@pytest.mark.parametrize("flight", [2, 4])
@pytest.mark.parametrize("name", ["grid", "random"])
def test_grid_and_random_depend_on_nothing_but_the_seed(name: str, flight: int) -> None:
    spec = FINITE["conditional"]
    one = Drive(name, SearchSpace.from_dict(spec), seed=3)
    other = Drive(name, SearchSpace.from_dict(spec), lambda params: math.nan, seed=3, flight=flight, order=7)
    assert one.configs == other.configs


def test_random_search_draws_without_replacement_whatever_the_weights() -> None:
    firsts = [Drive("random", SearchSpace.from_dict({"a": [1, 2, 3]}), seed=seed).configs for seed in range(300)]
    counts = [sum(configs[position]["a"] == 1 for configs in firsts) for position in range(3)]
    assert all(70 <= count <= 130 for count in counts)
    assert all(sorted(params["a"] for params in configs) == [1, 2, 3] for configs in firsts)


@pytest.mark.parametrize("name", ["grid", "random"])
def test_three_hundred_suggestions_are_fast(name: str) -> None:
    space = SearchSpace.from_dict({"a": list(range(20)), "b": list(range(16)), "c": {"fixed": 1, "when": {"a": 3}}})
    started = time.process_time()
    assert len(Drive(name, space, trials=300, flight=2).configs) == 300
    assert time.process_time() - started < 2
