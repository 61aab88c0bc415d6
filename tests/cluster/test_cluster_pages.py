"""The pages on how to start a cluster: what can be run is, and what cannot names files and options that exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted((ROOT / "cluster").glob("*.md"))
RUN = {"README.md": "here", "local.md": "by test_cluster_local.py"}
NOT_RUN = {
    "ray": "needs machines; its options are checked",
    "kubectl": "needs Kubernetes",
    "docker": "needs Docker's service",
    "export": "for what follows it",
    "rm": "before the wheel",
    "python": "builds the wheel, in the slow test",
}
"""Programs whose commands are not run, and why."""
USERS = {"keys.env", "my-search", "my-search/", "rag.yaml", "runs/"}
"""What the pages take for yours."""


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```bash\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def not_run() -> list[str]:
    return [line for page in PAGES if page.name not in RUN for line in commands(page)]


def test_every_page_has_commands_of_programs_that_are_known() -> None:
    for page in PAGES:
        assert commands(page), page
    assert {line.split()[0] for line in not_run()} == set(NOT_RUN)


def test_every_file_in_a_command_exists() -> None:
    named = {word for line in not_run() for word in re.findall(r"\bcluster/[\w./-]+", line)}
    assert named == {
        *("cluster/hosts.yaml", "cluster/aws.yaml", "cluster/Dockerfile", "cluster/compose.yaml"),
        *("cluster/storage.yaml", "cluster/raycluster.yaml", "cluster/rayjob.yaml"),
    }
    assert [name for name in named if not (ROOT / name).is_file()] == []


def test_every_file_is_on_a_page() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    files = [path.name for path in (ROOT / "cluster").iterdir() if path.suffix != ".md"]
    assert [name for name in files if name not in text] == []


@pytest.mark.ray
@pytest.mark.parametrize("line", [line for line in not_run() if line.startswith("ray ")])
def test_ray_has_the_command_and_its_options(line: str) -> None:
    from ray.scripts.scripts import cli

    _, name, *arguments = shlex.split(line)
    command = cli.commands[name]
    assert command.make_context(name, arguments).params["cluster_config_file"].startswith("cluster/")


def test_the_token_is_made_for_its_owner_only_and_never_replaced(tmp_path: Path) -> None:
    script = "\n".join(commands(ROOT / "cluster" / "README.md"))
    environment = {**os.environ, "HOME": str(tmp_path)}
    first = subprocess.run(["bash", "-e", "-c", script], env=environment, check=True, timeout=30)
    assert first.returncode == 0
    token = tmp_path / ".ray" / "auth_token"
    made = token.read_text()
    assert re.fullmatch(r"[0-9a-f]{64}", made)
    assert token.stat().st_mode & 0o777 == 0o600
    again = subprocess.run(["bash", "-e", "-c", script], env=environment, capture_output=True, check=False, timeout=30)
    assert again.returncode != 0
    assert token.read_text() == made


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_wheel_of_the_page_is_what_the_launchers_install(tmp_path: Path) -> None:
    [line] = [line for line in not_run() if line.startswith("python ")]
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    build = line.replace("--wheel-dir dist .", f"--wheel-dir {tmp_path}/raytuner-wheel {ROOT}")
    assert build != line
    environment = {**os.environ, "PATH": programs, "HOME": str(tmp_path)}
    subprocess.run(["bash", "-e", "-c", build], env=environment, check=True, timeout=200)
    launcher = (ROOT / "cluster" / "hosts.yaml").read_text(encoding="utf-8")
    [wheel] = re.findall(r'install --quiet ("\$\(ls .*?")$', launcher, re.MULTILINE)
    install = f"python -m pip install --dry-run --no-deps {wheel}"
    subprocess.run(["bash", "-e", "-c", install], env=environment, check=True, timeout=100)
