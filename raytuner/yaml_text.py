"""YAML in and out: whatever a text holds, it is read as plain values or refused in one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from raytuner.errors import ConfigError, quoted

MAX_BYTES = 1_000_000
MAX_VALUES = 200_000
"""So many values may a file hold, aliases written out."""
MAX_DEPTH = 50


def read_file(file: Path, name: str) -> str:
    """The text of a config.

    Args:
        file: The file.
        name: Its name for messages.

    Raises:
        ConfigError: It cannot be read, is too large, or no UTF-8 text.
    """
    try:
        with file.open("rb") as stream:  # which may be a device without an end
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigError(f"{name}: more than {MAX_BYTES // 1_000_000} MB is no config; name a YAML config")
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigError(f"{name}: {reason}; name a YAML config, or run raytuner quickstart") from None


def read(text: str, source: str) -> Any:
    """The value of a YAML text: plain values only, no key twice, nothing endless.

    Args:
        text: YAML.
        source: Where it is from, for messages.

    Raises:
        ConfigError: With the source, the line and the rule.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check(node, source, {})
        return loader.construct_document(node)
    except RecursionError:
        raise ConfigError(f"{source}: lists or mappings lie too deep; write fewer inside each other") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).removeprefix("but ").split())
        raise ConfigError(f"{source}{where}: not valid YAML: {problem:.200}; correct it") from None


def dump(raw: Mapping[str, Any]) -> str:
    """YAML that reads back as the same values; some characters do so only when they are escaped."""
    text = yaml.safe_dump(dict(raw), sort_keys=False, allow_unicode=True)
    return text if yaml.safe_load(text) == raw else yaml.safe_dump(dict(raw), sort_keys=False)


class _Loader(yaml.SafeLoader):
    """A safe loader that says the line of a value that cannot be made, such as a 13th month."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, KeyError, AttributeError, TypeError, OverflowError):
            problem = f"{quoted(node.value)} is no {node.tag.rpartition(':')[2]}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


def _check(node: yaml.Node, source: str, known: dict[int, int], depth: int = 0) -> int:
    """How many values a node holds, aliases written out.

    Args:
        node: A node.
        source: For messages.
        known: The nodes that were counted, by their identity; 0 stands for one that is not finished.
        depth: How many nodes lie around it.

    Raises:
        ConfigError: A key is there twice (YAML lets the last one win), a text cannot be stored, or it never ends.
    """
    where = f"{source}, line {node.start_mark.line + 1}"
    if known.get(id(node)) == 0:
        raise ConfigError(f"{where}: an alias leads back to itself; write it out")
    if depth > MAX_DEPTH:
        raise ConfigError(f"{where}: lists or mappings lie too deep; write at most {MAX_DEPTH} inside each other")
    if id(node) not in known:
        known[id(node)] = 0
        known[id(node)] = 1 + sum(_check(child, source, known, depth + 1) for child in _children(node, where))
    if known[id(node)] > MAX_VALUES:
        raise ConfigError(f"{where}: more than {MAX_VALUES:,} values, aliases written out; write fewer")
    return known[id(node)]


def _children(node: yaml.Node, where: str) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.ScalarNode):
        if "\0" in node.value or any("\ud800" <= character <= "\udfff" for character in node.value):
            raise ConfigError(f"{where}: {quoted(node.value)} holds a character that no file can hold; remove it")
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                line = f"{where.rpartition(' ')[0]} {key.start_mark.line + 1}"
                raise ConfigError(f"{line}: the key {quoted(key.value)} is there twice; remove one")
            seen.add(str(key.value))
            yield from (key, value)
