"""The tests that every search algorithm passes, for those of other packages too; see docs/search.md."""

import sys

if "pytest" in sys.modules:  # its messages show the values that an assertion compares
    sys.modules["pytest"].register_assert_rewrite("raytuner.testing.suite")

from raytuner.testing.drive import Drive
from raytuner.testing.suite import SearcherConformance

__all__ = ["Drive", "SearcherConformance"]
