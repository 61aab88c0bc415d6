"""Search algorithms by name, behind one contract."""

from raytuner.search.algorithm import CAPABILITIES, Algorithm, Library
from raytuner.search.registry import ALGORITHMS, algorithm, check_search, make_searcher, names
from raytuner.search.task import Task

__all__ = [
    "ALGORITHMS",
    "CAPABILITIES",
    "Algorithm",
    "Library",
    "Task",
    "algorithm",
    "check_search",
    "make_searcher",
    "names",
]
