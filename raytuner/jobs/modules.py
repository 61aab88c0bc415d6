"""Which modules beside a config its dotted paths lead to; nothing is imported to find them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from raytuner.components import is_dotted


def own_modules(config: Mapping[str, Any], folder: Path) -> dict[str, Path]:
    """The files of modules and packages in a folder that a config names, and of those that they import from there.

    Args:
        config: The config, as plain values.
        folder: Where its modules are looked for.

    Returns:
        The files by their names relative to the folder; of packages everything that is not hidden.
    """
    found: dict[str, Path] = {}
    names = [text.partition(".")[0] for text in _texts(config) if is_dotted(text)]
    while names:
        for name, path in _files(names.pop(), folder).items():
            if name not in found:
                found[name] = path
                names += _imported(path)
    return found


def _texts(value: Any) -> Iterator[str]:
    """Every text and key of a config."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        yield from _texts(list(value.keys()))
        yield from _texts(list(value.values()))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _files(name: str, folder: Path) -> dict[str, Path]:
    """The files of a module or package of a folder; none if it is from elsewhere."""
    module, package = folder / f"{name}.py", folder / name
    if (package / "__init__.py").is_file():
        return {f"{name}/{inner}": path for inner, path in visible_files(package)}
    return {module.name: module} if module.is_file() else {}


def visible_files(folder: Path) -> Iterable[tuple[str, Path]]:
    """The regular files below a folder with their relative names, without what is hidden or compiled."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and "__pycache__" not in name.parts and not any(part.startswith(".") for part in name.parts):
            yield name.as_posix(), path


def _imported(path: Path) -> Iterator[str]:
    """The top-level names that a file imports; none if it is not Python, which is said when it is imported."""
    if path.suffix != ".py":
        return
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]
