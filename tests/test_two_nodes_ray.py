"""A search on two nodes: what the second one lacks comes to it, and the scores are those of one node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.cluster_utils import Cluster

from raytuner.folders import cache_folder
from raytuner.run_folder import LOG

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

CONFIG = {
    "documents": "builtin:quickstart",
    "questions": "builtin:quickstart",
    "pipeline": {"embedding": "wordllama"},
    "space": {"chunk_size": [64, 128, 256], "top_k": [1, 2, 3]},
    "objective": {"metric": "span_f4"},
    "search": {"name": "grid", "scheduler": "fifo", "holdout": "none"},
}


COUNTED = '''
"""Splitters that note in which process they cut a document."""

import os
import pathlib

from llama_index.core.node_parser import SentenceSplitter


class Small(SentenceSplitter):
    def __init__(self):
        super().__init__(chunk_size=64, chunk_overlap=0)

    def _parse_nodes(self, nodes, *args, **kwargs):
        with open(pathlib.Path(__file__).parent / "cut.txt", "a") as file:
            file.write("".join(f"{type(self).__name__} {len(node.get_content())} {os.getpid()}\\n" for node in nodes))
        return super()._parse_nodes(nodes, *args, **kwargs)


class Middle(Small):
    def __init__(self):
        SentenceSplitter.__init__(self, chunk_size=128, chunk_overlap=0)


class Large(Small):
    def __init__(self):
        SentenceSplitter.__init__(self, chunk_size=256, chunk_overlap=0)
'''


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a cluster, and the cache of its second node, which may fetch nothing."""
    cache = tmp_path_factory.mktemp("other") / "cache"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1, env_vars={"RAYTUNER_CACHE": str(cache), "RAYTUNER_OFFLINE": "1"})
    yield cluster.address, cache
    cluster.shutdown()


def tuned(
    folder: Path, config: dict[str, Any], *options: str, cache: Path | None = None
) -> tuple[dict[int, Any], set[str]]:
    """The scores of all trials, and the processes that they ran in."""
    folder.mkdir()
    (folder / "rag.yaml").write_text(yaml.safe_dump(config))
    (folder / "counted.py").write_text(COUNTED)
    command = [sys.executable, "-m", "raytuner", "tune", "rag.yaml", "-q", *options]
    environment = {**os.environ, "RAYTUNER_CACHE": str(cache or cache_folder())}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    (log,) = folder.glob(f"runs/*/{LOG}")
    rows = [row for row in map(json.loads, log.read_text().splitlines()) if row["kind"] == "trial"]
    assert all(row["error"] is None for row in rows), rows
    return {row["trial"]: (row["params"], row["metrics"]) for row in rows}, {row["worker"] for row in rows}


def test_a_node_without_documents_and_weights(tmp_path: Path, nodes: tuple[str, Path]) -> None:
    address, cache = nodes
    found, workers = tuned(tmp_path / "two", CONFIG, "--address", address)
    assert len(workers) == 2
    assert list((cache / "models" / "wordllama").iterdir()), "the other node took part, and had to be given them"
    alone, _ = tuned(tmp_path / "one", CONFIG)
    assert found == alone


def cut(folder: Path) -> Counter[tuple[str, ...]]:
    """Which splitters have cut how long documents, and how often."""
    found = folder / "cut.txt"
    return Counter(tuple(line.split()[:2]) for line in found.read_text().splitlines()) if found.is_file() else Counter()


def test_nodes_share_a_storage_with_later_runs(tmp_path: Path, nodes: tuple[str, Path]) -> None:
    storage = tmp_path / "shared"
    own = {name.lower(): {"path": f"counted.{name}", "version": "1"} for name in ("Small", "Large")}
    config = {**CONFIG, "components": own, "space": {"splitter": sorted(own), "top_k": [1, 3]}}
    shared = ("--set", f"run.cache={storage}")
    found, _ = tuned(tmp_path / "two", config, "--address", nodes[0], *shared)
    assert set(cut(tmp_path / "two").values()) == {1}
    alone, _ = tuned(tmp_path / "later", config, *shared, cache=tmp_path / "empty")
    assert cut(tmp_path / "later") == Counter()
    assert list((tmp_path / "empty" / "artefacts").rglob("*")), "a copy of its own"
    assert found == alone


def test_what_a_node_had_before_is_built_by_no_other(tmp_path: Path, nodes: tuple[str, Path]) -> None:
    own = {"small": {"path": "counted.Small", "version": "of this test"}}
    config = {**CONFIG, "components": own, "space": {"splitter": ["small"], "top_k": [1, 2, 3, 4]}}
    before, _ = tuned(tmp_path / "before", config, "--address", "local", "--trials", "1")
    assert cut(tmp_path / "before")
    found, workers = tuned(tmp_path / "two", config, "--address", nodes[0])
    assert len(workers) == 2
    assert cut(tmp_path / "two") == Counter()
    assert found.items() >= before.items()


def test_a_path_that_is_not_the_same_on_all_nodes_is_refused(tmp_path: Path, nodes: tuple[str, Path]) -> None:
    (tmp_path / "rag.yaml").write_text(yaml.safe_dump({**CONFIG, "run": {"cache": "/proc/self/cwd/cache"}}))
    command = [sys.executable, "-m", "raytuner", "tune", "rag.yaml", "-q", "--address", nodes[0]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    assert "run.cache: storage file:///proc/self/cwd/cache is not the same folder on node " in done.stderr
    assert "name one that all nodes share, or a URL" in done.stderr


def test_a_path_that_a_jobs_nodes_do_not_share_is_refused(tmp_path: Path, nodes: tuple[str, Path]) -> None:
    def checked(storage: str) -> str:
        code = f"from raytuner.jobs.nodes import check_nodes; check_nodes([], {storage!r})"
        environment = {**os.environ, "RAY_ADDRESS": nodes[0]}
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False
        )
        return done.stderr

    assert "Error" not in checked(f"file://{tmp_path}/runs")
    said = checked("file:///proc/self/cwd/runs")
    assert "ClusterError: storage file:///proc/self/cwd/runs is not the same folder on node " in said
    assert "or leave it out: `raytuner jobs fetch` brings the run folder" in said
    assert list((tmp_path / "runs").iterdir()) == [], "nothing stays of what was tried"


def test_each_artefact_is_built_on_one_node(tmp_path: Path, nodes: tuple[str, Path]) -> None:
    splitters = [f"counted.{name}" for name in ("Small", "Middle", "Large")]
    config = {**CONFIG, "space": {"splitter": splitters, "top_k": [1, 2, 3]}}
    found, workers = tuned(tmp_path / "two", config, "--address", nodes[0])
    assert len(workers) == 2
    alone, _ = tuned(tmp_path / "one", config, "--address", "local")
    assert {name for name, _ in cut(tmp_path / "two")} == {"Small", "Middle", "Large"}
    assert cut(tmp_path / "two") == cut(tmp_path / "one"), "no document was cut by both"
    assert found == alone
