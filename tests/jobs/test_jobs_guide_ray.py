"""The guide's page on submitting: its blocks run in their order on a real head, and print what it shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ray_head import Head
from test_docs import CLUSTER_PAGES, HANDBOOK, blocks, check_yaml, run

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


def pattern(text: str) -> list[str]:
    """The lines of an output, without what is another each time: numbers, ids, spaces, folders, lines of progress."""
    kept = [line for line in text.splitlines() if ", done " not in line]
    lines = [re.sub(r"/\S+/raytuner/jobs/", "/home/raytuner/jobs/", line) for line in kept]
    lines = [re.sub(r"(\d{8}-\d{6})-[0-9a-f]{4}", r"\1", line) for line in lines]
    return [" ".join(re.sub(r"\d+", "0", line).split()) for line in lines]


def states(text: str) -> set[str]:
    """The columns of a list of jobs that are the same each time; of other jobs than the page's it is not said."""
    kept = [line for line in text.splitlines() if line.startswith(("id ", "raytuner-rag-"))]
    return {" ".join(re.sub(r"\d+|[A-Z]{7,}|file:\S+|the head|-[0-9a-f]{4}\b", "", line).split()) for line in kept}


@pytest.mark.parametrize("page", CLUSTER_PAGES, ids=lambda page: page.name)
def test_the_blocks_of_the_guide_run_on_a_cluster(
    page: Path, head: Head, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in head.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "my-docs").mkdir()
    (tmp_path / "my-docs" / "handbook.md").write_text(HANDBOOK, encoding="utf-8")
    printed: dict[str, str] = {}
    for number, code in enumerate(blocks(page)):
        if code.language == "yaml":
            check_yaml(code.text, tmp_path)
        if code.name:
            (tmp_path / code.name).write_text(code.text, encoding="utf-8")
        elif code.language == "bash":
            for command in code.text.splitlines():
                printed[command] = run(["bash", "-e", "-c", command], tmp_path)
        elif code.language == "python":
            (tmp_path / f"block{number}.py").write_text(code.text, encoding="utf-8")
            run(["python", f"block{number}.py"], tmp_path)
        else:
            first, _, rest = code.text.partition("\n")
            compared = states if "jobs list" in first else pattern
            assert compared(rest) == compared(printed[first.removeprefix("$ ")]), first
    assert len(list((tmp_path / "shared").iterdir())) == 1
    assert len(list((tmp_path / "runs").iterdir())) == 1
