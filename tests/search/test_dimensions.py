"""Parameters as most libraries want them."""

from __future__ import annotations

import random
from typing import Any

import pytest

from raytuner.search.dimensions import Dimension, Dimensions
from raytuner.space import SearchSpace


def dimensions(spec: dict[str, Any]) -> Dimensions:
    return Dimensions(SearchSpace.from_dict(spec))


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (["x", None, "y"], Dimension("category", 0, 2, labels=("x", None, "y"))),
        ([True, False], Dimension("category", 0, 1, labels=(True, False))),
        ([256, 64, 128], Dimension("whole", 0, 2, labels=(64, 128, 256))),
        ([0.5, 1, 0], Dimension("whole", 0, 2, labels=(0, 0.5, 1))),
        ([1, 1.0], Dimension("whole", 0, 1, labels=("#0", "#1"))),
        ({"int": [3, 9]}, Dimension("whole", 0, 6)),
        ({"float": [0, 1], "step": 0.25}, Dimension("whole", 0, 4)),
        ({"int": [3, 9], "log": True}, Dimension("whole", 3, 9, log=True)),
        ({"float": [0.5, 2]}, Dimension("real", 0.5, 2)),
        ({"float": [0.5, 2], "log": True}, Dimension("real", 0.5, 2, log=True)),
        ({"float": [0.1, 0.3], "step": 0.1, "log": True}, Dimension("real", 0.1, 0.3, log=True)),
    ],
)
def test_what_a_parameter_is_to_a_library(spec: Any, expected: Dimension) -> None:
    assert dimensions({"p": spec})["p"] == expected


def test_what_has_one_value_is_no_dimension() -> None:
    found = dimensions({"a": [3], "b": {"fixed": "x"}, "c": [1, 2]})
    assert list(found) == ["c"]
    assert found.decode({"c": 1}) == {"a": 3, "b": "x", "c": 2}


MIXED = {
    "a": ["x", None, "y"],
    "sizes": [256, 64, 128],
    "n": {"int": [3, 9]},
    "q": {"float": [0, 1], "step": 0.25},
    "t": {"float": [0, 1], "default": 0.5, "when": {"a": "y"}},
    "rate": {"float": [1e-4, 1], "log": True},
    "k": {"int": [1, 2**53], "log": True},
}


def test_raw_samples_go_there_and_back() -> None:
    space = SearchSpace.from_dict(MIXED)
    found = Dimensions(space)
    rng = random.Random(0)
    for _ in range(50):
        raw = space.draw(rng)
        values = found.encode(raw)
        assert found.decode(values) == space.canonical(raw)
        assert type(values["a"]) is str
        assert {type(values[name]) for name in ("sizes", "n", "q")} == {int}
        assert type(values["k"]) is float  # there are too many of them to be listed
    assert found.encode({**raw, "a": "x", "t": 0.9})["t"] == 0.5  # it is not active


def test_numbers_beyond_the_bounds_and_of_numpy_are_moved_between_them() -> None:
    np = pytest.importorskip("numpy")
    found = dimensions(MIXED)
    assert found["n"].decode(np.float64(6.4)) == 6
    assert found["n"].decode(6.6) == 6
    assert found["sizes"].decode(np.int64(-1)) == 64
    assert found["a"].decode(np.str_("2")) == "y"
    assert found["rate"].decode(np.float64(1.0000001)) == 1
    assert found["rate"].decode(0.00009) == 1e-4
