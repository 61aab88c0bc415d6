"""The suite that raytuner ships, on every algorithm that it has.

What needs an extra, or an environment of its own, is under the mark `conformance`: some of it takes seconds for each
suggestion, hours for all, so it is run by hand, `python -m pytest -m conformance -k NAME`, where that is installed.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from raytuner.search import ALGORITHMS, Algorithm
from raytuner.testing import SearcherConformance
from raytuner.testing.known import conformance


def marks(found: Algorithm) -> list[Any]:
    elsewhere = found.problem_elsewhere is not None or (found.library is not None and found.library.extra)
    return [pytest.mark.conformance, pytest.mark.timeout(3600)] if elsewhere else []


for name, found in ALGORITHMS.items():
    suite = conformance(name)
    suite.pytestmark = marks(found)  # type: ignore[attr-defined]
    globals()[suite.__name__] = suite


class TestOptunaNsga2(SearcherConformance):
    algorithm = "optuna"
    options: ClassVar = {"sampler": "nsga2"}
    seeds = 25


class TestOptunaBruteForce(SearcherConformance):
    algorithm = "optuna"
    options: ClassVar = {"sampler": "brute_force"}
    exceptions: ClassVar = {
        "test_mixed_spaces_are_taken": "it takes no logarithmic floats",
        "test_regret_on_a_conditional_function": "0.042 to 0.11, at random 0.0505: it learns nothing",
        "test_regret_on_a_categorical_function": "0.15 to 0.25, at random 0.2: it learns nothing",
        "test_regret_when_minimising": "0.15 to 0.25, at random 0.2: it learns nothing",
    }
    seeds = 25
