"""Search algorithms by name, behind one contract."""

from raytuner.search.registry import ALGORITHMS, Algorithm, algorithm, make_searcher

__all__ = ["ALGORITHMS", "Algorithm", "algorithm", "make_searcher"]
