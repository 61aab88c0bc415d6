"""Whether a long search stays as fast and as small as it began: 8 parameters, a trivial objective.

By quarters of the trials: milliseconds a trial, and memory of the driver and its trials at the quarter's end. Disk is
the most that the run folder and the files of Ray Tune took together.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import common

SPACE: dict[str, Any] = {
    "chunk_size": [64, 128, 256, 512],
    "chunk_overlap": {"float": [0.0, 0.3], "step": 0.1},
    "splitter": ["sentence", "token", "markdown"],
    "retriever": ["vector", "bm25", "hybrid"],
    "fusion_weight": {"float": [0.2, 0.8], "step": 0.2},
    "top_k": {"int": [1, 10]},
    "bm25_k1": {"float": [0.5, 2.0], "step": 0.5},
    "bm25_b": {"float": [0.0, 1.0], "step": 0.25},
}
LAST_OVER_FIRST, LAST_MS, GROWTH_MB = 1.5, 40, 100


def objective(params: dict[str, Any]) -> dict[str, float]:
    """A smooth function of the numbers; it also says when it ended."""
    distance = math.log2(params["chunk_size"] / 128) ** 2 + (params["top_k"] - 4) ** 2 / 10
    return {"score": -distance - params["chunk_overlap"] - (params["bm25_b"] - 0.7) ** 2, "ended": time.time()}


def run(search: str, trials: int) -> dict[str, Any]:
    from memory import Sampler, folder_mb, rss_mb

    from raytuner import RayTuneParamTuner

    files = Path.cwd() / "files"
    files.mkdir()
    tempfile.tempdir = str(files)  # where raytuner puts the files of Ray Tune
    tuner = RayTuneParamTuner(
        param_fn=objective, param_dict=SPACE, search=search, num_samples=trials, storage_path=files / "runs"
    )
    with common.local_ray(), Sampler(rss_mb, every_s=0.25) as memory:
        started = time.time()
        with Sampler(lambda: folder_mb(files), every_s=2) as disk:
            tuned = tuner.tune()
    times = sorted(run.metrics["ended"] for run in tuned.run_results)
    assert len(times) == trials, f"{len(times)} of {trials} trials have a score"
    ends = [len(times) * quarter // 4 - 1 for quarter in range(1, 5)]
    return {
        "ms_by_quarter": by_quarter(times),
        "rss_mb_by_quarter": [memory.at(times[end]) for end in ends],
        "disk_mb": disk.peak,
        "seconds": times[-1] - started,
    }


def by_quarter(times: list[float]) -> list[float]:
    """Milliseconds a trial in each quarter, from the rising times of all results; the first result starts the clock."""
    edges = [0, *(len(times) * quarter // 4 - 1 for quarter in range(1, 5))]
    return [1000 * (times[end] - times[start]) / (end - start) for start, end in pairwise(edges)]


def rows_of(search: str, found: dict[str, Any]) -> list[common.Row]:
    times, memory = found["ms_by_quarter"], found["rss_mb_by_quarter"]
    return [
        common.Row(search, ""),
        common.Row("  a trial, by quarter", ", ".join(map(common.figure, times)) + " ms"),
        common.at_most("  last quarter over the first", times[-1] / times[0], LAST_OVER_FIRST),
        common.at_most("  a trial of the last quarter", times[-1], LAST_MS, " ms"),
        common.Row("  memory, by quarter", ", ".join(map(common.figure, memory)) + " MB"),
        common.at_most("  growth of memory", memory[-1] - memory[0], GROWTH_MB, " MB"),
        common.Row("  disk", common.figure(found["disk_mb"], " MB")),
    ]


def names(text: str) -> list[str]:
    from raytuner.search.registry import ALGORITHMS

    found = text.split(",")
    for name in found:
        if name not in ALGORITHMS:
            raise argparse.ArgumentTypeError(f"unknown search {name!r}; there are {', '.join(ALGORITHMS)}")
    return found


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--search", type=names, default=["optuna", "grid"], metavar="NAME,...")
    args = parser.parse_args()
    if args.trials < 8:
        parser.error("--trials must be at least 8")
    result, rows = {}, []
    for search in args.search:
        with common.cold_cache() as cache:
            found = common.apart(run, search, args.trials, cache=cache)
        rows += [*rows_of(search, found), common.Row("  all trials", common.figure(found.pop("seconds"), " s"))]
        result[search] = found
    common.show(args, f"Scale: {args.trials} trials, {len(SPACE)} parameters", rows, result)


if __name__ == "__main__":
    main()
