"""The forms in which a parameter may be written, and what is said about wrong ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from raytuner.errors import SpaceError
from raytuner.space import Choice, Parameter, Range
from raytuner.space_parse import is_ray_domain, parameter


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ([1, "a", None], Choice(values=(1, "a", None))),
        ((1, 2), Choice(values=(1, 2))),
        (range(1, 4), Choice(values=(1, 2, 3))),
        (np.array([0.5, 1.0]), Choice(values=(0.5, 1.0))),
        ({"choice": ["a", "b"], "default": "b"}, Choice(values=("a", "b"), default="b")),
        ({"choice": range(2)}, Choice(values=(0, 1))),
        ({"choice": ["a", None], "default": None}, Choice(values=("a", None), default=None)),
        ({"fixed": {"k": [1]}}, Choice(values=({"k": [1]},))),
        ({"fixed": None}, Choice(values=(None,))),
        ({"int": [1, 10]}, Range(low=1, high=10, step=1, integer=True)),
        ({"int": (1, 10), "step": 3, "default": 4}, Range(low=1, high=10, step=3, integer=True, default=4)),
        ({"int": [np.int64(1), np.int64(10)]}, Range(low=1, high=10, step=1, integer=True)),
        ({"int": [1, 1000], "log": True}, Range(low=1, high=1000, step=1, log=True, integer=True)),
        ({"float": [0, 1]}, Range(low=0, high=1)),
        ({"float": [0, 1], "step": 0.1, "log": False}, Range(low=0, high=1, step=0.1)),
        ({"float": [0.5, 0.6], "step": 0.1}, Range(low=0.5, high=0.6, step=0.1)),
        ({"float": [1e-5, 1.0], "log": True}, Range(low=1e-5, high=1.0, log=True)),
        ({"fixed": 1, "when": {"a": "x"}}, Choice(values=(1,), when={"a": ("x",)})),
        ({"fixed": 1, "when": {"a": ["x", "y"], "b": 2}}, Choice(values=(1,), when={"a": ("x", "y"), "b": (2,)})),
        (Range(low=0, high=1), Range(low=0, high=1)),
    ],
)
def test_every_form_is_read(spec: Any, expected: Parameter) -> None:
    assert parameter("p", spec) == expected


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (5, r"5 is not a list of choices; write \[5\]"),
        ("bm25", r"write \['bm25'\]"),
        (b"bm25", "not a list of choices"),
        (None, r"write \[None\], or put a fixed value elsewhere"),
        (np.int64(3), "not a list of choices"),
        ({1, 2}, r"set has no order; write a list of \{1, 2\}"),
        ([], "empty list; name at least one"),
        ({"choice": []}, "empty list"),
        ({"choice": "abc"}, r"'abc' is not a list"),
        ({"choice": 3}, "3 is not a list"),
        ({}, "exactly one of choice, int, float, fixed"),
        ({"default": 1}, "exactly one of"),
        ({"int": [1, 2], "float": [0, 1]}, "exactly one of"),
        ({"int": [1, 2], "defualt": 1}, "unknown key 'defualt'; did you mean 'default'"),
        ({"chioce": [1]}, "'chioce'; did you mean 'choice'"),
        ({3: [1]}, "unknown key 3; .*Valid: .*choice"),
        ({"choice": [1], "step": 1}, "`step` goes with int or float, not with choice"),
        ({"fixed": 1, "log": True}, "`log` goes with int or float, not with fixed"),
        ({"int": 3}, r"3 must be \[low, high\], two finite whole numbers$"),
        ({"int": [1]}, r"\[1\] must be \[low, high\]"),
        ({"int": [1, 2, 3]}, r"must be \[low, high\]"),
        ({"int": [0.5, 2]}, "two finite whole numbers"),
        ({"int": [False, True]}, "two finite whole numbers"),
        ({"int": "1-10"}, r"'1-10' must be \[low, high\]"),
        ({"float": ["a", 2]}, "two finite numbers"),
        ({"float": ["1e-4", "1e-2"]}, "'1e-4' is a text: YAML reads 1.0e-4 as a number"),
        ({"float": [0, float("inf")]}, "two finite numbers"),
        ({"float": [float("nan"), 1]}, "two finite numbers"),
        ({"int": [3, 3]}, r"3 is not below the upper bound 3; use \{fixed: 3\}"),
        ({"int": [9, 1]}, r"lower bound 9 is not below the upper bound 1; write \[1, 9\]"),
        ({"float": [0, 1], "log": "yes"}, "log is 'yes'; it must be true or false"),
        ({"float": [0, 1], "log": True}, "log scale cannot start at 0; raise the lower bound"),
        ({"int": [-5, 1], "log": True}, "log scale cannot start at -5"),
        ({"int": [1, 9], "step": 0.5}, "step is 0.5; it must be a whole number"),
        ({"float": [0, 1], "step": "1e-1"}, "step is '1e-1'; it must be a number.*YAML"),
        ({"float": [0, 1], "step": True}, "step is True"),
        ({"float": [0, 1], "step": float("inf")}, "step is inf"),
        ({"float": [0, 1], "step": 0}, "step 0 must be above 0"),
        ({"float": [0, 1], "step": -0.1}, "step -0.1 must be above 0 and at most 1"),
        ({"int": [1, 9], "step": 20}, "step 20 must be above 0 and at most 8"),
        ({"choice": ["a", "b"], "default": "c"}, r"default: 'c' is not among the choices \['a', 'b'\]"),
        ({"choice": [1], "default": True}, "default: True is not among"),
        ({"int": [1, 9], "default": 10}, "default: 10 is outside 1..9"),
        ({"int": [1, 9], "step": 4, "default": 4}, "default: 4 is between the steps; the nearest value is 5"),
        ({"int": [1, 9], "log": True, "default": 2.5}, "default: 2.5 is between the steps"),
        ({"int": [1, 9], "default": None}, "default: None is not a number"),
        ({"float": [0, 1], "default": "x"}, "default: 'x' is not a number"),
        ({"fixed": 1, "when": "hybrid"}, r"`when` is 'hybrid'; write when: \{parameter: value\}"),
    ],
)
def test_what_is_wrong_is_named_with_the_fix(spec: Any, words: str) -> None:
    with pytest.raises(SpaceError, match=f"^some_name: .*{words}"):
        parameter("some_name", spec)


def test_domains_are_told_without_ray() -> None:
    assert is_ray_domain({"grid_search": [1]})
    assert not is_ray_domain({"grid_search": [1], "default": 1})
    assert not any(is_ray_domain(value) for value in (1, [1], {"int": [1, 2]}, Choice(values=(1,))))
