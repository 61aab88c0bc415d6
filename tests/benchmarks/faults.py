"""What is lost when things die: the driver, a worker, a node, each killed by SIGKILL at a random moment.

``python tests/benchmarks/faults.py [--runs N] --json``. A search runs on Ray; N times for each of the three it is cut
off, and then resumed until it is done (of a killed worker or node the search itself goes on). Then its log is compared
with that of an unbroken run.
``{"driver": {"kills", "lost", "repeated", "wrong", "failed_resumes", "in_flight_again"}, "worker": ..., "node": ...}``:

- lost: lines that were in the log before a kill and are not after it.
- repeated: blocks that were in the log before a kill, and are there once more.
- wrong: trials whose parameters, scores or end are not those of the unbroken run, and held-out results likewise.
- failed_resumes: resumes that did not end with a result.
- in_flight_again: blocks that were evaluated more than once, because they were in flight.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import yaml

from raytuner import ray_access
from raytuner.run_folder import LOG
from raytuner.trial_log import read_log

SLOTS = 2
BLOCK = 4
METRIC = '''
"""A metric that takes a moment and notes that it was asked."""

import os
import pathlib
import time


def noted(evidence):
    time.sleep(0.01)
    line = f"{evidence.question}\\n".encode()
    file = os.open(pathlib.Path(__file__).parent / "asked.txt", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line)
    os.close(file)
    return float(len("".join(evidence.contexts)) % 1000) / 1000
'''
CONFIG: dict[str, Any] = {
    "documents": "builtin:quickstart",
    "questions": "builtin:quickstart",
    "pipeline": {"retriever": "bm25"},
    "space": {"chunk_size": [64, 96, 128, 192, 256], "chunk_overlap": [0, 0.25], "top_k": [1, 2, 3]},
    "objective": {"metric": "noted_metric.noted", "mode": "max", "block_size": BLOCK},
    "search": {"name": "random", "trials": 16, "holdout": 20, "concurrency": SLOTS, "scheduler": "fifo"},
}


class Run:
    """One search in a folder of its own, as processes of the command line."""

    def __init__(self, folder: Path, address: str | None = None, scheduler: str = "fifo") -> None:
        folder.mkdir(parents=True)
        search = {**CONFIG["search"], "scheduler": scheduler, "name": "grid" if scheduler == "racing" else "random"}
        run = {"address": address} if address else {}
        (folder / "rag.yaml").write_text(yaml.safe_dump({**CONFIG, "search": search, "run": run}))
        (folder / "noted_metric.py").write_text(METRIC)
        self.folder = folder
        self.lost = self.repeated = self.failed_resumes = self.kills = 0

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / "out.txt").open("ab") as out:
            command = [sys.executable, "-m", "raytuner", *arguments, "-q", "--json"]
            return subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=out, start_new_session=True)

    @property
    def run_folder(self) -> Path | None:
        return next(iter((self.folder / "runs").glob("*")), None) if (self.folder / "runs").is_dir() else None

    def log(self) -> bytes:
        path = self.run_folder / LOG if self.run_folder else None
        content = path.read_bytes() if path is not None and path.exists() else b""
        return content[: content.rfind(b"\n") + 1]

    def wait_for_rows(self, process: subprocess.Popen[bytes]) -> None:
        while process.poll() is None and not self.log():
            time.sleep(0.02)

    def check(self, before: bytes) -> None:
        """What was in the log before a kill, against what is there now."""
        after = self.log()
        if not after.startswith(before):
            known = Counter(before.splitlines()) - Counter(after.splitlines())
            self.lost += sum(known.values())
        old = _blocks(before)
        self.repeated += sum(count > 1 for block, count in _blocks(after).items() if block in old)

    def outcome(self) -> dict[Any, Any]:
        assert self.run_folder is not None
        rows = read_log(self.run_folder).rows
        ends = {
            row["trial"]: (row["params"], row["metrics"], row["stopped"], row["error"])
            for row in rows
            if row["kind"] == "trial"
        }
        held = {
            (row["trial"], name): values
            for row in rows
            if row["kind"] == "held_out"
            for name, values in row["values"].items()
        }
        return {**ends, **held}

    def again(self) -> int:
        """Blocks that were evaluated more than once."""
        asked = len((self.folder / "asked.txt").read_text().splitlines())
        assert self.run_folder is not None
        logged = sum(
            len(row["values"]) for row in read_log(self.run_folder).rows if row["kind"] in ("block", "held_out")
        )
        return -(-(asked - logged) // BLOCK)


def _blocks(log: bytes) -> Counter[tuple[str, int, int]]:
    rows = [json.loads(line) for line in log.splitlines()]
    return Counter((row["kind"], row["trial"], row["block"]) for row in rows if row["kind"] in ("block", "held_out"))


def kill_driver(run: Run, seconds: float, rng: random.Random) -> None:
    """Kill the driver and all that it started, at a random moment, and resume, killing once more at times."""
    process = run.start("tune", "rag.yaml")
    run.wait_for_rows(process)
    time.sleep(rng.uniform(0, seconds))
    for _ in range(5):
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        _reap(process.pid)
        before = run.log()
        run.kills += 1
        assert run.run_folder is not None
        process = run.start("resume", run.run_folder.name)
        if rng.random() < 0.2:
            _wait_for_more(run, process, before)  # killed again while it goes on
            run.check(before)
            continue
        if process.wait(240) != 0:
            run.failed_resumes += 1
        run.check(before)


def _wait_for_more(run: Run, process: subprocess.Popen[bytes], before: bytes) -> None:
    while process.poll() is None and len(run.log()) <= len(before):
        time.sleep(0.02)


def _reap(session: int) -> None:
    """End what a killed driver has left behind: the processes of its session."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session:
                    os.kill(int(entry.name), signal.SIGKILL)
            except (OSError, ValueError, IndexError):
                continue


def kill_worker(run: Run, seconds: float, rng: random.Random) -> None:
    """Kill one of the processes that evaluate, at a random moment; the search goes on by itself."""
    process = run.start("tune", "rag.yaml")
    run.wait_for_rows(process)
    time.sleep(rng.uniform(0, seconds))
    workers = _workers(process.pid)
    before = run.log()
    if workers and process.poll() is None:
        run.kills += 1
        os.kill(rng.choice(workers), signal.SIGKILL)
    if process.wait(240) != 0:
        run.failed_resumes += 1
    run.check(before)


def _workers(session: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                is_mine = int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session
                if is_mine and b"Trainable" in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except (OSError, ValueError, IndexError):
                continue
    return found


def kill_node(run: Run, seconds: float, rng: random.Random, cluster: Any) -> None:
    """Kill one of two nodes with all its processes, at a random moment; the search goes on on the other."""
    node = cluster.add_node(num_cpus=1)
    process = run.start("tune", "rag.yaml")
    run.wait_for_rows(process)
    time.sleep(rng.uniform(0, 0.45 * seconds))  # the unbroken run had one node
    before = run.log()
    if process.poll() is None:
        run.kills += 1
    cluster.remove_node(node, allow_graceful=False)
    if process.wait(240) != 0:
        run.failed_resumes += 1
    run.check(before)


def measured(
    kind: str, runs: int, folder: Path, address: str | None, kill: Callable[[Run, float, random.Random], None]
) -> dict[str, int]:
    found = dict.fromkeys(("kills", "lost", "repeated", "wrong", "failed_resumes", "in_flight_again"), 0)
    whole: dict[str, tuple[dict[Any, Any], float]] = {}
    for at in range(runs):
        scheduler = "racing" if at % 2 else "fifo"
        if scheduler not in whole:
            unbroken = Run(folder / f"whole-{scheduler}", address, scheduler)
            process = unbroken.start("tune", "rag.yaml")
            unbroken.wait_for_rows(process)
            started = time.monotonic()
            assert process.wait(240) == 0, (unbroken.folder / "out.txt").read_text()
            whole[scheduler] = unbroken.outcome(), time.monotonic() - started
        expected, seconds = whole[scheduler]
        run = Run(folder / f"run-{at}", address, scheduler)
        kill(run, seconds, random.Random(f"{kind} {at}"))
        outcome = run.outcome()
        found["kills"] += run.kills
        found["lost"] += run.lost
        found["repeated"] += run.repeated
        found["failed_resumes"] += run.failed_resumes
        found["wrong"] += sum(outcome.get(key) != expected.get(key) for key in expected.keys() | outcome.keys())
        found["in_flight_again"] += run.again()
    return found


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--runs", type=int, default=20, help="kills of each of the three")
    parser.add_argument("--kinds", default="driver,worker,node")
    args = parser.parse_args()
    found: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as name, common.cold_cache():
        for kind in args.kinds.split(","):
            folder = Path(name) / kind
            if kind == "driver":
                found[kind] = measured(kind, args.runs, folder, None, kill_driver)
            elif kind == "worker":
                found[kind] = measured(kind, args.runs, folder, None, kill_worker)
            else:
                found[kind] = _on_two_nodes(args.runs, folder)
    rows = []
    for kind, one in found.items():
        rows.append(common.Row(f"{kind}: kills", str(one["kills"])))
        for what in ("lost", "repeated", "wrong", "failed_resumes"):
            rows.append(common.Row(f"{kind}: {what}", str(one[what]), "0", one[what] == 0))
        most = SLOTS * one["kills"]
        again = one["in_flight_again"]
        rows.append(common.Row(f"{kind}: in flight again", str(again), f"{most} or less", again <= most))
    common.show(args, f"{args.runs} runs of each", rows, found)


def _on_two_nodes(runs: int, folder: Path) -> dict[str, int]:
    from ray.cluster_utils import Cluster

    ray_access.prepare()
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        return measured(
            "node", runs, folder, cluster.address, lambda run, seconds, rng: kill_node(run, seconds, rng, cluster)
        )
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
