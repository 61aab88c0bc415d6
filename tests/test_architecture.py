"""Who may import what."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import raytuner

PACKAGE = Path(raytuner.__file__).parent
RAY = {
    "calls_ray",
    "tuners",
    "trainable",
    "search",
    "schedulers",
    "runtime",
    "jobs",
    "space_ray",
    "nodes_ray",
    "storage_ray",
}
LLAMA_INDEX = {"pipeline", "models", "datasets", "metrics"}


def imports(text: str) -> Iterator[str]:
    """The top-level packages that a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module.split(".")[0]


def importers(package: str) -> set[str]:
    """The modules or packages of raytuner that import a package."""
    modules = PACKAGE.rglob("*.py")
    return {
        path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for path in modules
        if package in imports(path.read_text())
    }


def test_ray_is_imported_only_where_it_belongs() -> None:
    assert importers("ray") <= RAY
    assert "trainable" in importers("ray")


def test_llamaindex_is_imported_only_where_it_belongs() -> None:
    assert importers("llama_index") <= LLAMA_INDEX
    assert "pipeline" in importers("llama_index")


def test_the_suite_for_algorithms_is_only_for_tests() -> None:
    users = {path for path in PACKAGE.rglob("*.py") if "raytuner.testing" in path.read_text(encoding="utf-8")}
    assert {path.relative_to(PACKAGE).parts[0] for path in users} == {"testing"}
    assert importers("pytest") <= {"testing"}
    code = "import sys, raytuner.testing; assert 'pytest' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_nothing_is_pickled_to_disk_and_yaml_is_loaded_safely() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        others = text.replace("from pickle import PickleBuffer\n", "")  # in which texts travel, in memory
        assert not {"pickle", "marshal", "shelve", "dill"} & set(imports(others)), path
        assert "yaml.load(" not in text, path
        assert "allow_pickle=True" not in text, path


def test_modules_stay_short() -> None:
    long = {path.name: count for path in PACKAGE.rglob("*.py") if (count := len(path.read_text().splitlines())) > 400}
    assert long == {}


def test_the_map_of_the_code_names_every_module_and_no_other() -> None:
    """Of packages it names what matters, of the modules beside them each."""
    map_ = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("\n## Rules")[0]
    named: set[Path] = set()
    for row in map_.splitlines():
        folders = [PACKAGE, PACKAGE.parent]  # and those that the row has named before
        for code in re.findall(r"`([\w./]+(?:\.(?:py|md|yaml)|/))`", row.rpartition("? |")[2]):
            found = next((folder / code for folder in folders if (folder / code).exists()), None)
            assert found is not None, f"{code} in {row}"
            named |= {found, *found.parents}
            folders.append(found if found.is_dir() else found.parent)
    private = {"__init__", "__main__", "__pycache__", "py"}
    there = {path for path in PACKAGE.iterdir() if path.stem not in private}
    assert sorted(there - named) == []


def test_every_public_name_is_there() -> None:
    for name in raytuner.__all__:
        assert getattr(raytuner, name) is not None


def test_importing_raytuner_imports_nothing_heavy() -> None:
    code = "import sys, raytuner; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    for heavy in ("numpy", "pydantic", "ray", "llama_index", "optuna", "yaml", "click"):
        assert f"'{heavy}'" not in done.stdout


def test_all_lists_what_is_imported_lazily() -> None:
    assert sorted(raytuner.__all__) == sorted([*raytuner._HOMES, *raytuner._MODULES, "__version__"])
