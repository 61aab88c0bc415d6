"""Components by dotted path: a user's own readers, splitters, models, retrievers, metrics and objectives.

Importing runs code, so nothing is imported by looking at a config: only what runs a search calls `load`.
"""

from __future__ import annotations

import contextlib
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from raytuner.errors import ConfigError, nearest

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def is_dotted(name: object) -> bool:
    """Whether a name is written like a dotted path, e.g. ``my_package.my_module.MyReader``."""
    return isinstance(name, str) and _DOTTED.fullmatch(name) is not None


def load(path: str, what: str = "component") -> Any:
    """Import what a dotted path names.

    Args:
        path: ``package.module.name``; the module is found on Python's path, on which `importable` puts the folder
            of a config.
        what: What it is to be, for messages, e.g. ``metric``.

    Returns:
        The class, function or object of that name.

    Raises:
        ConfigError: There is no such module or name in it, or the module fails while it is imported.
    """
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{what} {path}: there is no module {error.name!r}; install it, or put it beside the config"
        ) from None
    except Exception as error:  # whatever a user's module does while it is imported
        raise ConfigError(f"{what} {path}: importing {module_name} failed: {type(error).__name__}: {error}") from error
    if not hasattr(module, name):
        public = [other for other in vars(module) if not other.startswith("_")]
        raise ConfigError(f"{what} {path}: {module_name} has no {name!r}; {nearest(name, public)}")
    return getattr(module, name)


@contextlib.contextmanager
def importable(folder: str | Path | None) -> Iterator[None]:
    """A folder on Python's path for a time, so that modules beside a config are found.

    Args:
        folder: The folder; None changes nothing.
    """
    if folder is None or str(folder) in sys.path:
        yield
        return
    sys.path.append(str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(str(folder))
