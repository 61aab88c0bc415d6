"""The guide's API reference is what the docstrings say, and these say what the signatures take."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import raytuner

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / ".ci"))

import api  # noqa: E402

NAMES = [name for section in api.SECTIONS for name in section.names]


@pytest.fixture(scope="module")
def package() -> Any:
    return api.load()


def test_the_page_is_what_the_docstrings_say(package: Any) -> None:
    """Where it is not, `python .ci/api.py` writes it."""
    assert api.PAGE.read_text(encoding="utf-8") == api.page(package)


def test_every_public_name_is_there() -> None:
    modules = ("datasets", "metrics", "models", "search")
    assert {f"raytuner.{name}" for name in raytuner.__all__} - {*NAMES, "raytuner.__version__"} == {
        f"raytuner.{name}" for name in modules
    }
    for module in ("datasets", "metrics", "search", "testing"):
        loaded = importlib.import_module(f"raytuner.{module}")
        public = [name for name in loaded.__all__ if isinstance(getattr(loaded, name), (type, FunctionType))]
        missing = {name for name in public if name not in {known.rpartition(".")[2] for known in NAMES}}
        assert not missing, module


def taken(one: Any, kind: str) -> set[str]:
    """What a function takes, or the fields of a class."""
    if kind == "parameters":
        function = one.members["__init__"] if one.is_class else one
        return {parameter.name for parameter in function.parameters} - {"self", "cls"}
    fields = [member for member in one.members.values() if member.is_attribute and member.annotation is not None]
    return {field.name for field in fields if "property" not in field.labels and not field.name.startswith("_")}


def test_arguments_and_attributes_are_described(package: Any) -> None:
    """All arguments where there are several, every field, and nothing that is not there."""
    found = [api.found(package, name) for name in NAMES]
    for each in [each for one in found for each in ((one, *api.members(one)) if one.is_class else (one,))]:
        if each.is_attribute:
            continue
        kind = "attributes" if each.is_class and "parameters" not in api.listed(each) else "parameters"
        listed = {item.name.lstrip("*") for item in api.listed(each).get(kind, ())}
        there = taken(each, kind)
        assert listed == there or (kind == "parameters" and not listed and len(there) == 1), each.path


def test_names_are_imported_from_where_the_page_says() -> None:
    for name in NAMES:
        module, _, own = name.rpartition(".")
        if module != "raytuner.search.ask_tell":  # imports Ray
            assert callable(getattr(importlib.import_module(module), own)), name


def test_docstrings_hold_no_examples_that_nobody_runs() -> None:
    for module in (ROOT / "raytuner").rglob("*.py"):
        assert ">>> " not in module.read_text(encoding="utf-8"), module
