"""How near a search whose answers come from an endpoint is to what the endpoint allows.

``python tests/benchmarks/llm_throughput.py --json``: a server on this machine answers after 200 ms, 32 calls at once
are allowed. A whole search runs on Ray, in two workers; the time from the first call to the last answer is compared
with calls / 32 x 0.2 s. ``{"ideal_s", "actual_s", "share", "max_in_flight"}``, where share is ideal / actual.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import common
import yaml

from raytuner import TuneConfig, tune
from raytuner.testing.openai_server import Behaviour, OpenAIServer

LATENCY_S = 0.2
LIMIT = 32
GOAL = 0.95


def config(folder: str, url: str, trials: int) -> dict[str, Any]:
    return {
        "documents": "builtin:quickstart",
        "questions": "builtin:quickstart",
        "models": {"tiny": {"model": "openai-like:tiny", "base_url": url, "concurrency": LIMIT}},
        "pipeline": {"llm": "tiny", "retriever": "bm25"},
        "space": {"chunk_size": [96, 128, 160, 192, 224, 256, 320, 384], "top_k": [1, 2, 3, 4, 5]},
        "search": {"name": "grid", "trials": trials, "scheduler": "fifo", "holdout": "none"},
        "objective": {"metric": "token_f1", "block_size": LIMIT},
        "run": {"folder": folder},
    }


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--trials", type=int, default=40)
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        common.cold_cache(),
        common.local_ray(2),
        OpenAIServer(Behaviour(latency_s=LATENCY_S)) as server,
    ):
        tune(TuneConfig.parse(yaml.safe_dump(config(str(Path(folder)), server.base_url, args.trials))))
    calls = len(server.requests)
    ideal = calls / LIMIT * LATENCY_S
    actual = server.requests[-1].at - server.requests[0].at + LATENCY_S
    share = ideal / actual
    rows = [
        common.Row("calls", f"{calls:,}"),
        common.Row("ideal", f"{ideal:.2f} s"),
        common.Row("actual", f"{actual:.2f} s"),
        common.at_least("share of the ideal", share, GOAL),
        common.Row(
            "most calls in flight", str(server.most_in_flight), f"{LIMIT} or less", server.most_in_flight <= LIMIT
        ),
    ]
    found = {"ideal_s": ideal, "actual_s": actual, "share": share, "max_in_flight": server.most_in_flight}
    common.show(args, f"{args.trials} trials, {LATENCY_S:g} s an answer, {LIMIT} at once", rows, found)


if __name__ == "__main__":
    main()
