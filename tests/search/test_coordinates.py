"""Where points lie: orders, scales, and what is inactive."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from ray import tune

from raytuner.search.candidates import MAX_CANDIDATES, Candidates
from raytuner.search.coordinates import Coordinates
from raytuner.space import SearchSpace


def coordinates(spec: Any, *values: Any) -> list[float]:
    space = SearchSpace.from_dict({"p": spec, "other": ["x", "y"]})
    points = [space.encode({"p": value}) for value in values]
    return [float(row[0]) for row in Coordinates(space).of(points)]


@pytest.mark.parametrize(
    ("spec", "values", "wanted"),
    [
        ([128, 512, 256], [128, 256, 512], [0, 0.5, 1]),  # evenly spaced by their logarithms
        ([0, 10, 20], [0, 10, 20], [0, 0.5, 1]),
        ([256, 384, 512], [256, 384, 512], [0, 0.5, 1]),  # ... and these as they are
        ({"int": [1, 5]}, [1, 2, 5], [0, 0.25, 1]),
        ({"float": [0, 2], "step": 0.5}, [0.5], [0.25]),
        ({"float": [0.01, 1], "log": True}, [0.01, 0.1, 1], [0, 0.5, 1]),
        (tune.randn(5, 2), [5, 9], [0.5, 1]),
        (["b", "a", None], ["b", "a", None], [0, 1, 2]),
        ([3, 1], [3, 1], [0, 1]),  # two values have no order
        ([1, True, 1.0], [1, True, 1.0], [0, 1, 2]),
        ([1, 2, "auto"], [1, 2, "auto"], [0, 1, 2]),
    ],
)
def test_values_become_coordinates(spec: Any, values: list[Any], wanted: list[float]) -> None:
    assert coordinates(spec, *values) == pytest.approx(wanted)


def test_inactive_and_fixed_parameters() -> None:
    spec = {"a": ["x", "y"], "fixed": [7], "b": {"int": [0, 4], "when": {"a": "y"}}}
    space = SearchSpace.from_dict(spec)
    found = Coordinates(space)
    assert found.names == ["a", "b"]
    rows = found.of([{"a": "x", "fixed": 7, "b": 3}, {"a": "y", "fixed": 7, "b": 3}])
    assert math.isnan(rows[0, 1])
    assert rows[1, 1] == 0.75
    assert not found.long


@pytest.mark.parametrize(
    "spec", [{"float": [1, 3]}, {"int": [1, 100]}, {"float": [0.1, 10], "log": True}, {"float": [0, 5], "step": 0.1}]
)
def test_a_value_near_another_is_one_of_the_range(spec: Any) -> None:
    space = SearchSpace.from_dict({"p": spec})
    found, parameter = Coordinates(space), space.parameters["p"]
    start = parameter.first()
    for distance in (-0.5, 0.01, 0.3, 2):
        near = found.near("p", start, distance)
        assert parameter.decode(near) == parameter.decode(parameter.encode(parameter.decode(near)))
        moved = found.of([{"p": near}])[0, 0] - found.of([{"p": start}])[0, 0]
        assert moved == pytest.approx(min(max(distance, 0), 1), abs=0.02)
    assert found.long


def test_a_small_space_is_listed_and_a_large_one_looked_at_near_the_best() -> None:
    import random

    small = SearchSpace.from_dict({"a": [1, 2, 3], "b": ["x", "y"]})
    assert len(Candidates(small, Coordinates(small)).around([], random.Random(0))) == 6
    large = SearchSpace.from_dict({name: list("abcdefgh") for name in "pqrstu"})
    best = large.default()
    found = Candidates(large, Coordinates(large)).around([best], random.Random(0))
    assert len(found) == MAX_CANDIDATES
    assert sum(sum(raw[name] != best[name] for name in best) == 1 for raw in found) >= 6 * 7
    middle = SearchSpace.from_dict({"a": list(range(40)), "b": list(range(40))})
    assert len(Candidates(middle, Coordinates(middle)).around([middle.default()], random.Random(0))) == MAX_CANDIDATES


def test_candidates_keep_inactive_parameters_at_their_default() -> None:
    import random

    space = SearchSpace.from_dict({"a": ["x", "y"], "t": {"float": [0, 1], "when": {"a": "y"}}, "u": {"float": [0, 1]}})
    for raw in Candidates(space, Coordinates(space)).around([space.default()], random.Random(0)):
        assert raw == space.canonical(raw)
    assert np.isfinite(Coordinates(space).of([space.encode({"a": "y"})])).all()
