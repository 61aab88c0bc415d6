"""The table of algorithms, for people."""

from __future__ import annotations

from raytuner.search.algorithm import CAPABILITIES, Algorithm
from raytuner.search.registry import algorithm, names


def table() -> str:
    """Each algorithm: what it is, whether it can be used here, what it can do by itself, and its options."""
    lines: list[str] = []
    for found in map(algorithm, names()):
        lines += [f"{found.name:10} {found.summary}", *(f"{'':10} {line}" for line in _more(found))]
    meanings = [f"  {name}: {meaning}" for name, meaning in CAPABILITIES.items()]
    return "\n".join([*lines, "", "What they can do by themselves:", *meanings])


def _more(found: Algorithm) -> list[str]:
    lines = [f"can: {', '.join(name for name in CAPABILITIES if name in found.can)}"]
    if found.options:
        lines.append(f"options: {', '.join(found.options)}")
    problem = found.problem()
    if problem is not None:
        lines.append(problem)
    elif found.library is not None:
        lines.append(f"installed: {found.library.package} {found.library.installed}")
    elif found.problem_elsewhere is not None:
        lines.append("installed, in an environment of its own")
    return lines
