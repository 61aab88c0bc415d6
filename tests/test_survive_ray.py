"""A search on a cluster whose nodes join, are slow, cannot start or run out of memory; one for all tests, of which the
last one loses the head.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray._private.utils import get_system_memory, get_used_memory
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster

from raytuner.run_folder import LOG
from raytuner.trial_log import read_log

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(400),
    pytest.mark.skipif(sys.platform != "linux", reason="Ray has clusters of several nodes on Linux only"),
]

OWN = '''
"""An objective that is as its node is."""

import os
import pathlib
import time

NODE = os.environ.get("TEST_NODE", "")
if NODE and NODE in "{broken}":
    raise ImportError(f"node {NODE} has no such library")


def scored(params, **_):
    for block in range(2):
        with open(pathlib.Path(__file__).parent / "evaluated.txt", "a") as file:
            file.write(f"{params['k']} {block} {NODE}\\n")
        time.sleep({seconds} * (20 if NODE == "{slow}" else 1))
        if params["k"] == 2 and NODE == "small":
            filled = []
            while len(filled) < 60:
                filled.append(b"x" * 100_000_000)
                time.sleep(0.05)
        yield {f"q{block}": {"score": params["k"] + block}}
'''


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head that runs no trials, and one node that does."""
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.add_node(num_cpus=1, env_vars={"TEST_NODE": "first"})
    yield made
    made.shutdown()


@pytest.fixture
def add(cluster: Cluster) -> Iterator[Callable[..., None]]:
    """Adds nodes by name, for one test."""
    added = []

    def one_more(name: str, resources: dict[str, float] | None = None, **variables: str) -> None:
        variables = {"TEST_NODE": name, **variables}
        added.append(cluster.add_node(num_cpus=1, resources=resources, env_vars=variables))

    yield one_more
    for node in added:
        cluster.remove_node(node)


def started(folder: Path, address: str, trials: int, **what: Any) -> subprocess.Popen[str]:
    text = OWN
    for name, value in {"broken": "", "slow": "none", "seconds": 0.1, **what}.items():
        text = text.replace(f"{{{name}}}", str(value))
    (folder / "own.py").write_text(text)
    config = {
        "objective": {"function": "own.scored", "metric": "score"},
        "space": {"k": list(range(1, trials + 1))},
        "search": {"name": "grid", "max_retries": 1},
        "run": {"address": address, "resources": what.get("resources")},
    }
    (folder / "rag.yaml").write_text(yaml.safe_dump(config))
    return command(folder, "tune", "rag.yaml", "--json", "-q")


def command(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "raytuner", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, out + err
    return out, err


def rows(folder: Path, kind: str) -> list[dict[str, Any]]:
    found = list(folder.glob(f"runs/*/{LOG}"))
    return [row for row in read_log(found[0].parent).rows if row["kind"] == kind] if found else []


def wait_for(folder: Path, kind: str, number: int, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 100
    while len(rows(folder, kind)) < number:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def nodes(folder: Path) -> Counter[str]:
    """How many blocks each node has evaluated."""
    return Counter(line.split()[2] for line in (folder / "evaluated.txt").read_text().splitlines())


def right(folder: Path, trials: int) -> None:
    """Each configuration has its score, once."""
    assert sorted(row["score"] for row in rows(folder, "trial")) == [k + 0.5 for k in range(1, trials + 1)]


def test_a_node_that_joins_runs_trials(cluster: Cluster, add: Callable[..., None], tmp_path: Path) -> None:
    """Though a trial takes less than the start of a worker, in which time the other worker could take them all."""
    process = started(tmp_path, cluster.address, 24, seconds=0.4)
    wait_for(tmp_path, "trial", 1, process)
    add("joined")
    ended(process)
    right(tmp_path, 24)
    assert nodes(tmp_path)["joined"] >= 4, nodes(tmp_path)
    assert "the cluster has room for 2 trials at once now, 1 before" in next(tmp_path.glob("runs/*/*.log")).read_text()


def test_a_slow_node_does_not_hold_up_the_other(cluster: Cluster, add: Callable[..., None], tmp_path: Path) -> None:
    add("second")
    ended(started(tmp_path, cluster.address, 16, slow="second"))
    right(tmp_path, 16)
    assert nodes(tmp_path)["first"] > 2 * nodes(tmp_path)["second"] > 0, nodes(tmp_path)


def test_a_node_whose_workers_cannot_start(cluster: Cluster, add: Callable[..., None], tmp_path: Path) -> None:
    add("second")
    ended(started(tmp_path, cluster.address, 8, broken="second", seconds=0.3))
    right(tmp_path, 8)
    assert set(nodes(tmp_path)) == {"first"}


def test_no_worker_that_can_start_ends_the_search_with_the_reason(cluster: Cluster, tmp_path: Path) -> None:
    began = time.monotonic()
    _, err = ended(started(tmp_path, cluster.address, 8, broken="first"), code=1)
    assert time.monotonic() - began < 200
    assert err.count("\n") == 1, err
    assert err.startswith("error: no worker could start: ")
    assert "ImportError: node first has no such library" in err


def test_a_trial_that_takes_too_much_memory(cluster: Cluster, add: Callable[..., None], tmp_path: Path) -> None:
    """Ray ends a worker when the memory of the machine is used up; here from 3 GB above what is used on."""
    total, used = get_system_memory(), get_used_memory()
    assert total - used > 6e9, "there is too little memory for this test"
    threshold = f"{(used + 3e9) / total:.4f}"
    add("small", {"small": 1}, RAY_memory_usage_threshold=threshold, RAY_memory_monitor_refresh_ms="50")
    out, err = ended(started(tmp_path, cluster.address, 4, resources={"cpu": 1, "small": 1}))
    found = json.loads(out)
    assert (found["trials"], found["failed"], found["best"]["params"]["k"]) == (4, 1, 4), err
    (error,) = [row["error"] for row in rows(tmp_path, "trial") if row["error"]]
    assert "running low on memory" in error
    assert err.count("\n") == 0, err
    assert nodes(tmp_path) == {"small": 2 * 3 + 2}, "it was tried once more"


def test_resources_that_no_node_has_are_named_with_what_there_is(cluster: Cluster, tmp_path: Path) -> None:
    _, err = ended(started(tmp_path, cluster.address, 4, resources={"cpu": 1, "tpu": 2}), code=2)
    assert err.count("\n") == 1, err
    assert "tpu" in err
    assert "'cpu': 1.0" in err


def test_another_version_of_ray_or_python_names_both(cluster: Cluster, tmp_path: Path) -> None:
    store = GcsClient(address=cluster.address)
    key, space = b"CLUSTER_METADATA", b"cluster"
    before = store.internal_kv_get(key, space)
    store.internal_kv_put(key, json.dumps({"ray_version": "2.1.0", "python_version": "3.8.20"}).encode(), True, space)
    _, err = ended(started(tmp_path, cluster.address, 4), code=2)
    store.internal_kv_put(key, before, True, space)
    assert err.count("\n") == 1, err
    for version in ("Ray: 2.1.0", "Python: 3.8.20", f"Ray: {ray.__version__}", f"Python: {platform.python_version()}"):
        assert version in err


def test_the_head_is_lost(cluster: Cluster, tmp_path: Path) -> None:
    process = started(tmp_path, cluster.address, 12, seconds=0.4)
    wait_for(tmp_path, "trial", 2, process)
    cluster.remove_node(cluster.head_node, allow_graceful=False)
    began = time.monotonic()
    _, err = ended(process, code=1)
    assert time.monotonic() - began < 55
    (folder,) = (tmp_path / "runs").iterdir()
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: the ")
    assert f"raytuner resume {folder} --address local" in last
    assert last.removeprefix("error: ") in (folder / "raytuner.log").read_text()
    before = (folder / LOG).read_bytes()
    ended(command(tmp_path, "resume", folder.name, "--address", "local", "-q"))
    assert (folder / LOG).read_bytes().startswith(before)
    right(tmp_path, 12)
    assert set(Counter((row["trial"], row["block"]) for row in rows(tmp_path, "block")).values()) == {1}
