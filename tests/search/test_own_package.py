"""The guide's package with an algorithm of its own, installed as another package is."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "search.md"
BLOCK = re.compile(r"`([\w.]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as an installer leaves it behind: the module, and what the package says of itself."""
    folder = tmp_path_factory.mktemp("site")
    blocks = dict(BLOCK.findall(GUIDE.read_text(encoding="utf-8")))
    project = configparser.ConfigParser()  # reads as much of TOML as is there, on every Python
    project.read_string(blocks["pyproject.toml"].replace('"', ""))
    about = project["project"]
    info = folder / f"{about['name'].replace('-', '_')}-{about['version']}.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {about['name']}\nVersion: {about['version']}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    [(name, value)] = project["project.entry-points.raytuner.search"].items()
    (info / "entry_points.txt").write_text(f"[raytuner.search]\n{name} = {value}\n", encoding="utf-8")
    (folder / "climb.py").write_text(blocks["climb.py"], encoding="utf-8")
    return folder


def run(site: Path, *command: str, code: int = 0) -> str:
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=site,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_it_is_listed(site: Path) -> None:
    assert re.search(
        r"^climb +local search\n +can: mixed, replays\n +options: start$", run(site, "raytuner", "algorithms"), re.M
    )


def test_a_config_may_name_it_and_its_options_are_checked(site: Path) -> None:
    (site / "handbook.md").write_text("Each employee has 30 days of leave.\n", encoding="utf-8")
    question = '{"question": "How many days?", "answer": "30 days", "document": "handbook.md"}\n'
    (site / "questions.jsonl").write_text(question, encoding="utf-8")
    config = {
        "documents": "handbook.md",
        "questions": "questions.jsonl",
        "pipeline": {"retriever": "bm25"},
        "space": {"chunk_size": [16, 32], "top_k": {"int": [1, 9]}},
        "search": {"name": "climb", "options": {"start": 4}},
    }
    (site / "rag.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert "climb" in run(site, "raytuner", "plan", "rag.yaml")
    said = run(site, "raytuner", "plan", "rag.yaml", "--set", "search.options.start=few", code=2)
    assert "option start of search 'climb' is 'few'; it should be a valid integer" in said


def test_it_passes_the_suite_under_its_name(site: Path) -> None:
    said = run(site, "raytuner.testing", "climb")
    assert re.search(r"^\| `climb` \|( (yes|-) \|)+$", said, re.MULTILINE), said
