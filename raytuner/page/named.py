"""What code of its own a run names; listed, never imported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from raytuner.components import is_dotted
from raytuner.errors import UserError
from raytuner.going_on import CONFIG
from raytuner.yaml_text import read

_NO_CODE = {"questions", "run", "search", "budget", "modules"}
_TEXTS = ("prompt",)
"""Parameters whose values are no names."""


def dotted_paths(folder: Path, run: Mapping[str, Any], tried: Iterable[Mapping[str, Any]]) -> list[str]:
    """The dotted paths that a run names, sorted.

    Args:
        folder: The run folder, whose config is read if it can be.
        run: What its ``run.json`` holds, which has the config with what was filled in.
        tried: Configurations, which a log may hold whatever the config says.
    """
    found = {*_in_config(_config(folder)), *_in_config(run.get("config"))}
    for params in tried:
        found.update(name for key, name in _texts(dict(params)) if is_dotted(name) and key not in _TEXTS)
    return sorted(found)


def _config(folder: Path) -> Any:
    try:
        return read((folder / CONFIG).read_text(encoding="utf-8"), CONFIG)
    except (OSError, UnicodeDecodeError, UserError):
        return None


def _in_config(config: Any) -> Iterator[str]:
    if not isinstance(config, Mapping):
        return
    for section, value in config.items():
        if section in _NO_CODE:
            continue
        for key, name in _texts(value, section):
            if is_dotted(name) and not (section == "documents" and key != "reader"):
                yield name


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Every text at any depth with the key above it, and the keys of mappings, which name components."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield key, str(name)
            yield from _texts(inner, str(name))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)
