"""The suite that raytuner ships, on every algorithm that it has.

Those that need an extra are marked with its name, or `search` where that brings it; those that run elsewhere are there
where that is set up.
"""

from __future__ import annotations

from typing import Any

import pytest

from raytuner.search import ALGORITHMS, Algorithm
from raytuner.testing.known import conformance

OWN = ("ax", "optuna-gp")
"""The extras that are not part of `search`."""


def marks(found: Algorithm) -> list[Any]:
    extra = found.library.extra if found.library is not None else ""
    mark = extra if extra in OWN else "search"
    return [getattr(pytest.mark, mark), pytest.mark.timeout(1200)] if extra else []


for name, found in ALGORITHMS.items():
    if marks(found) or found.problem() is None:
        suite = conformance(name)
        suite.pytestmark = marks(found)  # type: ignore[attr-defined]
        globals()[suite.__name__] = suite
