"""The wheel that goes to a cluster."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import raytuner
from raytuner.jobs import wheel
from raytuner.jobs.wheel import build_wheel, requirements

PACKAGE = Path(raytuner.__file__).parent


def test_the_same_files_make_the_same_wheel(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    first, second = build_wheel(tmp_path / "1"), build_wheel(tmp_path / "2")
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_other_files_make_a_wheel_of_another_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray takes wheels of the same name for the same, and would run the old one."""
    copy = tmp_path / "raytuner"
    copy.mkdir()
    (copy / "__init__.py").write_text("a = 1\n")
    monkeypatch.setattr(wheel, "PACKAGE", copy)
    before = build_wheel(tmp_path).name
    (copy / "__init__.py").write_text("a = 2\n")
    assert build_wheel(tmp_path).name != before


def test_it_holds_every_file_of_the_package_and_nothing_compiled(tmp_path: Path) -> None:
    with zipfile.ZipFile(build_wheel(tmp_path)) as archive:
        names = set(archive.namelist())
        record = archive.read(f"raytuner-{raytuner.__version__}.dist-info/RECORD").decode().splitlines()
        for line in record[:-1]:
            name, digest, size = line.rsplit(",", 2)
            data = archive.read(name)
            assert len(data) == int(size)
            assert digest == "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    expected = {path.relative_to(PACKAGE.parent).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    assert {name for name in names if ".dist-info/" not in name} == {
        name for name in expected if not name.endswith(".pyc") and "/." not in name
    }
    assert {line.split(",")[0] for line in record} == names
    assert "raytuner/data/quickstart.yaml" in names


def test_pip_installs_it_alone_and_without_a_network(tmp_path: Path) -> None:
    """As Ray does on a node; its dependencies would be fetched again, Ray too, if it named them."""
    target = tmp_path / "target"
    command = [sys.executable, "-m", "pip", "install", "--no-index", str(build_wheel(tmp_path)), f"--target={target}"]
    subprocess.run(command, check=True, capture_output=True, timeout=100)
    assert {path.name for path in target.iterdir()} == {"raytuner", f"raytuner-{raytuner.__version__}.dist-info"}
    code = "import raytuner; print(raytuner.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(target / "raytuner" / "__init__.py")


def test_what_a_node_needs_is_said_without_extras() -> None:
    found = requirements()
    assert any(line.startswith("ray[tune]") for line in found)
    assert not any("extra" in line for line in found)
