"""The suite that raytuner ships, on every algorithm that it has.

What needs an extra, or an environment of its own, is under the mark of the environment that has it in CI.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from raytuner.search import ALGORITHMS, Algorithm
from raytuner.testing import SearcherConformance
from raytuner.testing.known import conformance

ALONE = {"ax", "optuna-gp"}
"""Extras that have an environment of their own; all others are in that of the extra ``search``."""


def marks(found: Algorithm) -> list[Any]:
    extra = found.library.extra if found.library is not None else ""
    if found.problem_elsewhere is not None:
        mark = "bridge"
    elif extra:
        mark = extra if extra in ALONE else "search"
    else:
        return []
    return [getattr(pytest.mark, mark), pytest.mark.timeout(1200)]


for name, found in ALGORITHMS.items():
    suite = conformance(name)
    suite.pytestmark = marks(found)  # type: ignore[attr-defined]
    globals()[suite.__name__] = suite


class TestOptunaNsga2(SearcherConformance):
    algorithm = "optuna"
    options: ClassVar = {"sampler": "nsga2"}


class TestOptunaBruteForce(SearcherConformance):
    algorithm = "optuna"
    options: ClassVar = {"sampler": "brute_force"}
    exceptions: ClassVar = {"test_mixed_spaces_are_taken": "it takes no logarithmic floats"}
    seeds = 25
