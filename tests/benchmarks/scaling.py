"""How much faster a search is with more in flight, and with more workers.

``python tests/benchmarks/scaling.py --json``. LLM-bound: a server on this machine answers after 200 ms; two workers
with so many calls in flight at once, 1 to 32, and 32 workers of one call each on a Ray of 32 logical CPUs. Each is
compared with calls x 0.2 s / calls in flight, from the first call to the last answer: the start of workers is apart.
CPU-bound: the same trials in one worker and in two, with a metric that computes.
``{"llm": {IN_FLIGHT: {"ideal_s", "actual_s", "share", "max_in_flight", "workers"}}, "slots": {the same, "peak_mb"},
"cpu": {"one_s", "two_s", "share", "workers"}}``; peak_mb is the resident memory of driver and workers.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import yaml
from memory import Sampler, rss_mb

from raytuner import TuneConfig, tune
from raytuner.run_folder import LOG
from raytuner.testing.openai_server import Behaviour, OpenAIServer

LATENCY_S = 0.2
GOAL = 0.9
BUSY = '''
"""A metric that computes for a while."""

import hashlib


def busy(evidence):
    found = evidence.question.encode()
    for _ in range({rounds}):
        found = hashlib.sha256(found).digest()
    return found[0] / 255
'''


def config(folder: Path, **sections: Any) -> TuneConfig:
    search = {"name": "random", "scheduler": "fifo", "holdout": "none", **sections.pop("search")}
    whole = {
        "documents": "builtin:quickstart",
        "questions": "builtin:quickstart",
        "space": {"chunk_size": [96, 128, 160, 192, 224, 256, 320, 384], "top_k": [1, 2, 3, 4, 5]},
        "search": search,
        "run": {"folder": str(folder)},
        **sections,
    }
    return TuneConfig.parse(yaml.safe_dump(whole), base=folder)


def workers_of(folder: Path) -> int:
    """How many processes have run trials."""
    rows = [json.loads(line) for log in folder.glob(f"*/{LOG}") for line in log.read_text().splitlines()]
    return len({row["worker"] for row in rows if row["kind"] == "trial"})


def llm_bound(in_flight: int, slots: int, block_size: int, trials: int) -> dict[str, Any]:
    """A search whose answers come from the server; Ray is started already."""
    with (
        tempfile.TemporaryDirectory() as folder,
        common.cold_cache(),
        OpenAIServer(Behaviour(latency_s=LATENCY_S)) as server,
    ):
        model = {"model": "openai-like:tiny", "base_url": server.base_url, "concurrency": in_flight}
        tune(
            config(
                Path(folder),
                models={"tiny": model},
                pipeline={"llm": "tiny", "retriever": "bm25"},
                objective={"metric": "token_f1", "block_size": block_size},
                search={"trials": trials, "concurrency": slots},
            )
        )
        workers = workers_of(Path(folder))
    ideal = len(server.requests) * LATENCY_S / in_flight
    actual = server.requests[-1].at - server.requests[0].at + LATENCY_S
    found = {"ideal_s": ideal, "actual_s": actual, "share": ideal / actual}
    return {**found, "max_in_flight": server.most_in_flight, "workers": workers}


def cpu_bound(workers: int, rounds: int, trials: int) -> tuple[float, int]:
    """Seconds of a search that computes, without the start of its workers, and the number of these."""
    began: list[float] = []
    with tempfile.TemporaryDirectory() as name, common.cold_cache():
        folder = Path(name)
        (folder / "busy_metric.py").write_text(BUSY.replace("{rounds}", str(rounds)))
        searched = config(
            folder,
            pipeline={"retriever": "bm25"},
            objective={"metric": "busy_metric.busy", "mode": "max", "block_size": 60},
            search={"trials": trials, "concurrency": workers},
        )
        ends: list[float] = []

        def listener(study: Any, trial: Any) -> None:
            (ends if trial.finished else began).append(time.perf_counter())

        tune(searched, listeners=(listener,))
        count = workers_of(folder)
    return ends[-1] - began[0], count


def measured(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {"llm": {}}
    with common.local_ray(2):
        for in_flight in (1, 2, 4, 8, 16, 32):
            trials = max(2, min(args.trials, in_flight * args.trials // 16))
            found["llm"][str(in_flight)] = llm_bound(in_flight, 2, 16, trials)
        one, _ = cpu_bound(1, args.rounds, 16)
        two, workers = cpu_bound(2, args.rounds, 16)
        found["cpu"] = {"one_s": one, "two_s": two, "share": one / two / 2, "workers": workers}
    with common.local_ray(args.slots), Sampler(rss_mb, every_s=1.0) as memory:
        slots = llm_bound(args.slots, args.slots, 1, 2 * args.slots)
    return {**found, "slots": {**slots, "peak_mb": memory.peak}}


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--trials", type=int, default=32, help="of the search with 16 calls in flight")
    parser.add_argument("--slots", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=60_000, help="hashes for a question")
    args = parser.parse_args()
    found = measured(args)
    rows = []
    for in_flight, one in found["llm"].items():
        rows.append(common.at_least(f"{in_flight} in flight, {one['workers']} workers: share", one["share"], GOAL))
    rows += [
        common.at_least(f"{args.slots} workers of one call each: share", found["slots"]["share"], GOAL),
        common.Row("  most in flight", str(found["slots"]["max_in_flight"])),
        common.Row("  processes", str(found["slots"]["workers"])),
        common.Row("  peak memory of the workers", f"{found['slots']['peak_mb']:,.0f} MB"),
        common.Row("CPU-bound: one worker, two", f"{found['cpu']['one_s']:.1f} s, {found['cpu']['two_s']:.1f} s"),
        common.Row("  share of twice as fast", f"{found['cpu']['share']:.2f}"),
    ]
    common.show(args, f"{LATENCY_S:g} s an answer", rows, found)


if __name__ == "__main__":
    main()
