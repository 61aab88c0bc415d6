"""What code of its own a run names; listed, never imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from raytuner.components import is_dotted
from raytuner.errors import UserError
from raytuner.going_on import CONFIG
from raytuner.yaml_text import read

_NO_CODE = {"questions", "run", "search", "budget", "modules"}


def dotted_paths(folder: Path) -> list[str]:
    """The dotted paths in the config of a run, sorted; empty where there is no config that can be read."""
    try:
        config = read((folder / CONFIG).read_text(encoding="utf-8"), CONFIG)
    except (OSError, UnicodeDecodeError, UserError):
        return []
    if not isinstance(config, Mapping):
        return []
    found = {
        name
        for section, value in config.items()
        if section not in _NO_CODE
        for key, name in _texts(value, section)
        if is_dotted(name) and not (section == "documents" and key != "reader")
    }
    return sorted(found)


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
