"""The tests that every search algorithm passes, for those of other packages too; see docs/search.md."""

from raytuner.testing.drive import Drive
from raytuner.testing.suite import SearcherConformance

__all__ = ["Drive", "SearcherConformance"]
