"""The table of algorithms, for people."""

from __future__ import annotations

from raytuner.errors import SearchError
from raytuner.search.algorithm import CAPABILITIES
from raytuner.search.registry import algorithm, names


def table() -> str:
    """Each algorithm: what it is, whether it can be used here, what it can do by itself, and its options."""
    lines: list[str] = []
    for name in names():
        first, *more = _lines(name)
        lines += [f"{name:10} {first}", *(f"{'':10} {line}" for line in more)]
    meanings = [f"  {name}: {meaning}" for name, meaning in CAPABILITIES.items()]
    return "\n".join([*lines, "", "What they can do by themselves:", *meanings])


def _lines(name: str) -> list[str]:
    try:
        found = algorithm(name)
    except SearchError as error:  # another package's, and the others can be used all the same
        return [str(error)]
    lines = [found.summary, f"can: {', '.join(name for name in CAPABILITIES if name in found.can)}"]
    if found.options:
        lines.append(f"options: {', '.join(found.options)}")
    problem = found.problem()
    if problem is not None:
        lines.append(problem)
    elif found.library is not None:
        lines.append(f"installed: {found.library.package} {found.library.installed}")
    elif found.problem_elsewhere is not None:
        lines.append("installed, in an environment of its own")
    for (option, value), library in found.libraries.items():
        lines.append(f"{option} {value}: {library.problem() or f'installed: {library.package} {library.installed}'}")
    return lines
