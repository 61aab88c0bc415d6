"""The text of an exported script: pieces, what they import and need, and constants put together."""

from __future__ import annotations

import ast
import json
import keyword
import re
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from raytuner.components import Component, is_dotted
from raytuner.errors import ConfigError
from raytuner.versions import installed_version

FOLDER = Path(__file__).parent / "pipeline" / "standalone"
PREFIX = "raytuner.pipeline.standalone."
DISTRIBUTIONS = {
    "bs4": ("beautifulsoup4", "lxml"),
    "docx": ("python-docx",),
    "markdown_it": ("markdown-it-py",),
    "pypdf": ("pypdf[crypto]",),
}
"""The distributions of modules of another name."""


class ScriptText:
    """A script that grows.

    Args:
        values: What constants are set to, where the script uses them.

    Attributes:
        wanted: Names that pieces want the script to define.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.wanted: set[str] = set()
        self._values = values
        self._used: set[str] = set()
        self._included: set[str] = set()
        self._modules: dict[str, str] = {}
        self._names: dict[str, set[str]] = {}
        self._own: set[str] = set()
        self._aliases: dict[str, list[str]] = {}
        self._needed: set[str] = set()
        self._parts: list[str] = []

    def include(self, piece: str) -> None:
        """Put in a piece, once, and those that it uses before it."""
        if piece in self._included:
            return
        self._included.add(piece)
        source = (FOLDER / f"{piece}.py").read_text(encoding="utf-8")
        source = re.sub(r"  # type: ignore[^\n]*", "", source)
        lines, kept, end = source.splitlines(), [], 0
        for node in ast.parse(source).body:
            before, end = end, node.end_lineno or 0
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self._import(node)
            elif not self._is_docstring(node) and not self._is_constant(node):
                kept.append("\n".join(lines[before:end]).strip("\n"))
        if kept:
            self._parts.append(_joined(kept))

    def define(self, text: str) -> None:
        """Put in a definition of the script's own."""
        self._parts.append(text)

    def imports(self, line: str) -> None:
        """Import something."""
        (node,) = ast.parse(line).body
        assert isinstance(node, (ast.Import, ast.ImportFrom))
        self._import(node)

    def use(self, constant: str) -> str:
        """A constant, which is then among those of the script."""
        self._used.add(constant)
        return constant

    def need(self, distribution: str) -> None:
        """Need a distribution, of which nothing is imported."""
        self._needed.add(distribution)

    def put(self, constant: str, value: Any) -> None:
        """Set a constant of a piece."""
        self._values = {**self._values, constant: value}

    def own_part(self, path: str, role: str) -> str:
        """Import a part by dotted path, which nobody does before the script runs.

        Args:
            path: The path.
            role: What it is called in the script; the second of a role is ``{role}_2``.

        Returns:
            What it is called.

        Raises:
            ConfigError: It is none that the script could import.
        """
        module, _, name = path.rpartition(".")
        if not is_dotted(path) or any(map(keyword.iskeyword, path.split("."))):
            raise ConfigError(f"{path!r} is no dotted path that can be imported; write package.module.name")
        if (top := path.partition(".")[0]) in ("raytuner", "__future__"):
            raise ConfigError(f"{path!r} cannot be exported as code, which does without {top}; name a part of your own")
        self._own.add(module)
        known = self._aliases.setdefault(role, [])
        if path not in known:
            known.append(path)
        number = known.index(path) + 1
        alias = role if number == 1 else f"{role}_{number}"
        self.imports(f"from {module} import {name} as {alias}")
        return alias

    def options(self, part: Component) -> str:
        """The options of a part of the user's own, its models made."""
        from raytuner.script_models import embedding_expression, llm_expression

        self.imports("from typing import Any")
        plain = {name: literal(value) for name, value in part.arguments.items()}
        for model in part.models:
            made = llm_expression(self, model.spec, 0.0) if model.is_llm else embedding_expression(self, model.spec)
            plain[model.option] = made
        return "{" + ", ".join(f"{literal(name)}: {value}" for name, value in plain.items()) + "}"

    def text(self, head: str, python: str) -> str:
        """The whole script.

        Args:
            head: Its docstring.
            python: Which versions of Python it needs.
        """
        constants = [f"{name} = {literal(self._values[name])}" for name in self._values if name in self._used]
        needed = "".join(f"#   {json.dumps(one)},\n" for one in self._requirements())
        block = f'# /// script\n# requires-python = "{python}"\n# dependencies = [\n{needed}# ]\n# ///'
        tops = [head, "from __future__ import annotations", *self._import_groups()]
        parts = ["\n\n".join([*tops, *(["\n".join(constants)] if constants else [])]), *self._parts]
        text = "\n\n\n".join(parts)
        return f"{block}\n{text}\n"

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        if isinstance(node, ast.Import):
            self._modules.update({alias.name: ast.unparse(alias) for alias in node.names})
            return
        module = node.module or ""
        if module.startswith(PREFIX):
            piece = module.removeprefix(PREFIX)
            if piece == "glue":
                self.wanted.update(alias.name for alias in node.names)
            else:
                self.include(piece)
        elif module != "__future__":
            self._names.setdefault(module, set()).update(map(ast.unparse, node.names))

    @staticmethod
    def _is_docstring(node: ast.stmt) -> bool:
        return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)

    def _is_constant(self, node: ast.stmt) -> bool:
        """Whether a statement sets a constant of a piece that the script sets itself."""
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in self._values:
                self._used.add(name)
                return True
        return False

    def _own_modules(self) -> set[str]:
        """The user's own modules, as far as their names tell."""
        return {module for module in self._own if not module.startswith("llama_index.")}

    def _import_groups(self) -> list[str]:
        """The imports: of Python's own library, of others, of the user's own modules."""
        own = self._own_modules()
        groups: list[list[str]] = [[], [], []]
        for module, alias in sorted(self._modules.items()):
            groups[_group(module, own)].append(f"import {alias}")
        for module, names in sorted(self._names.items()):
            groups[_group(module, own)].append(f"from {module} import {', '.join(sorted(names))}")
        return ["\n".join(group) for group in groups if group]

    def _requirements(self) -> list[str]:
        """The distributions of what is imported, as they are installed here."""
        own = self._own_modules()
        modules = {name for name in (*self._modules, *self._names) if _group(name, own) == 1}
        found = {one for module in modules for one in _distributions(module)}
        return sorted({_pinned(one) for one in found} | self._needed)


def _joined(kept: list[str]) -> str:
    """Statements with two empty lines around definitions, and none between constants."""
    text = kept[0]
    for before, after in pairwise(kept):
        both_plain = not any(_is_definition(one) for one in (before, after))
        text += ("\n" if both_plain else "\n\n\n") + after
    return text


def _is_definition(text: str) -> bool:
    return re.search(r"^(def|class|if|@)\b|^@", text, re.MULTILINE) is not None


def _group(module: str, own: set[str]) -> int:
    return 2 if module in own else 0 if module.partition(".")[0] in sys.stdlib_module_names else 1


def _distributions(module: str) -> tuple[str, ...]:
    """The distributions that a module is of."""
    if module.startswith("llama_index."):
        parts = module.split(".")[1:]
        return ("llama-index-core",) if parts[0] == "core" else ("-".join(["llama-index", *parts]).replace("_", "-"),)
    top = module.partition(".")[0]
    return DISTRIBUTIONS.get(top, (top,))


def _pinned(distribution: str) -> str:
    version = installed_version(distribution.partition("[")[0])
    return f"{distribution}=={version}" if version and version[0].isdigit() else distribution


def literal(value: Any) -> str:
    """A value as Python writes it, texts in double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        inner = ", ".join(map(literal, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner},)" if len(value) == 1 else f"({inner})"
    return repr(value)
