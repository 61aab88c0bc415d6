"""The Dockerfile and the compose file, as far as they can be checked without Docker."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
DOCKERFILE = (CLUSTER / "Dockerfile").read_text(encoding="utf-8")
TOOLS = Path(sys.executable).parent


def run(*command: str | Path, **options: Any) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, capture_output=True, text=True, timeout=900, check=False, **options
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def compose() -> dict[str, Any]:
    loaded = yaml.safe_load((CLUSTER / "compose.yaml").read_text(encoding="utf-8"))
    assert isinstance(loaded, dict)
    return loaded


def instructions(name: str) -> list[str]:
    """The arguments of all instructions of a kind, continued lines joined."""
    return re.findall(rf"^{name} (.*)$", DOCKERFILE.replace("\\\n", ""), re.MULTILINE)


def copied() -> list[str]:
    """What of the project the image takes in."""
    return [source for line in instructions("COPY") for source in line.split()[:-1]]


def test_the_dockerfile_has_no_faults() -> None:
    run(TOOLS / "hadolint", "--failure-threshold", "info", CLUSTER / "Dockerfile")


def test_a_fault_in_the_dockerfile_is_found(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.replace("python:3.11.14-slim-bookworm", "python"))
    done = subprocess.run([TOOLS / "hadolint", tmp_path / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "DL3006" in done.stdout  # an image without a version


def test_the_image_has_the_settings_and_is_not_for_root() -> None:
    [environment] = instructions("ENV")
    given = dict(pair.split("=", 1) for pair in environment.split())
    lines = (CLUSTER / "ray.env").read_text(encoding="utf-8").splitlines()
    settings = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert given == {**settings, "RAYTUNER_CACHE": "/shared/cache"}
    assert instructions("USER") == ["1000"]


def test_what_the_image_takes_in_is_there_and_not_ignored() -> None:
    lines = (CLUSTER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "*"
    assert sorted(line[1:] for line in lines if line.startswith("!")) == sorted(copied())
    assert [name for name in copied() if not (ROOT / name).exists()] == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_pip_line_installs_all_that_a_node_runs(tmp_path: Path) -> None:
    """The line itself, in a fresh environment, from what the image takes in and nothing else."""
    source = tmp_path / "src"
    source.mkdir()
    for name in copied():
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, source / name)
    [line] = [line for line in instructions("RUN") if line.startswith("pip install")]
    run(sys.executable, "-m", "venv", tmp_path / "venv")
    programs = tmp_path / "venv" / "bin"
    path = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path)}
    run("bash", "-c", line.replace("/src", str(source)), env=path)
    assert "raytuner" in run(programs / "raytuner", "--version", env=path)
    assert "--head" in run(programs / "ray", "start", "--help", env=path)
    run(programs / "python", "-c", "import ray.dashboard.modules.job.job_head", env=path)  # takes searches in


def test_the_compose_file_is_valid() -> None:
    run(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", CLUSTER / "compose.yaml")


@pytest.mark.parametrize("key", ["shm_size", "cap_drop", "command", "secrets", "environment"])
def test_a_misspelt_key_of_the_compose_file_is_refused(key: str, tmp_path: Path) -> None:
    text = (CLUSTER / "compose.yaml").read_text(encoding="utf-8")
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(re.sub(rf"^( +){key}:", rf"\1{key}x:", text, flags=re.MULTILINE))
    done = subprocess.run(
        [TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", wrong],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout
    assert f"{key}x" in done.stdout


def test_only_the_dashboard_is_published_and_only_here() -> None:
    services = compose()["services"]
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert ports == ["127.0.0.1:8265:8265"]
    assert {service.get("network_mode") for service in services.values()} == {None}


def test_every_container_reads_the_token_from_a_secret_and_may_do_little() -> None:
    loaded = compose()
    assert loaded["secrets"] == {"ray_token": {"environment": "RAY_AUTH_TOKEN"}}
    for service in loaded["services"].values():
        assert service["environment"]["RAY_AUTH_TOKEN_PATH"] == "/run/secrets/ray_token"
        [secret] = service["secrets"]
        assert (secret["source"], secret["uid"], secret["mode"]) == ("ray_token", "1000", 0o400)
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["volumes"] == ["shared:/shared"]
