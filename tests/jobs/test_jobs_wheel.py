"""The wheel that goes to a cluster."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ray._private.runtime_env.packaging import get_uri_for_directory

import raytuner
from raytuner.jobs import wheel
from raytuner.jobs.wheel import build_wheel, requirements, unpacked_wheel

PACKAGE = Path(raytuner.__file__).parent


def test_the_same_files_make_the_same_wheel(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    first, second = build_wheel(tmp_path / "1"), build_wheel(tmp_path / "2")
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_ray_knows_other_files_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has the same name for Ray is not sent again, and the old one would run."""
    copy = tmp_path / "raytuner"
    copy.mkdir()
    monkeypatch.setattr(wheel, "PACKAGE", copy)
    uris = []
    for number, text in enumerate(("a = 1\n", "a = 2\n", "a = 1\n")):
        (copy / "__init__.py").write_text(text)
        (tmp_path / str(number)).mkdir()
        package, info = unpacked_wheel(tmp_path / str(number))
        assert info.name == f"raytuner-{raytuner.__version__}.dist-info"
        uris.append(get_uri_for_directory(str(package), include_gitignore=True))
    assert uris[0] == uris[2] != uris[1]


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
    """It is a wheel as others are."""
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


def test_unpacked_it_is_found_with_its_version(tmp_path: Path) -> None:
    """As Ray unpacks it on a node, each folder below one that is on Python's path."""
    paths = unpacked_wheel(tmp_path)
    code = "import importlib.metadata as m, raytuner; print(raytuner.__file__, m.version('raytuner'))"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for path, place in zip(paths, ("a", "b"), strict=True):
        path.rename(tmp_path / place / path.name)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{tmp_path}/b:{tmp_path}/a"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(tmp_path / "a" / "raytuner" / "__init__.py"), raytuner.__version__]


def test_what_a_node_needs_is_said_without_extras() -> None:
    found = requirements()
    assert any(line.startswith("ray[tune]") for line in found)
    assert not any("extra" in line for line in found)
