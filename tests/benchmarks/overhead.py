"""What a trial costs beside its own work: raytuner and LlamaIndex's RayTuneParamTuner on Ray Tune.

The objective is trivial and the grid the same. Milliseconds a trial are (time of the last result - time of the first
result) / (n - 1), told by the objective itself, the same for both.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import common
import incumbent

SECONDS_TO_FIRST = 6


def trivial(result: type) -> Callable[[dict[str, Any]], Any]:
    """An objective that only says when and where it ran."""

    def objective(params: dict[str, Any]) -> Any:
        return result(score=params["x"], params=params, metadata={"at": time.time(), "worker": os.getpid()})

    return objective


def run(side: str, trials: int, workers: int) -> dict[str, float]:
    """Run one side on a fresh Ray."""
    grid = {"x": list(range(trials))}
    tuner: Any
    if side == "raytuner":
        from raytuner import RayTuneParamTuner, RunResult

        tuner = RayTuneParamTuner(param_fn=trivial(RunResult), param_dict=grid)
    else:
        theirs = incumbent.load()
        tuner = theirs.RayTuneParamTuner(param_fn=trivial(theirs.RunResult), param_dict=grid)
    with common.local_ray(workers) as init_s:
        started = time.time()
        results = tuner.tune().run_results
    assert len(results) == trials, f"{len(results)} of {trials} trials have a result"
    return {**figures([result.metadata for result in results], started), "init_s": init_s}


def figures(results: list[dict[str, Any]], started: float) -> dict[str, float]:
    """The figures of one side from the times of its results, in any order."""
    times = sorted(result["at"] for result in results)
    return {
        "ms": 1000 * (times[-1] - times[0]) / (len(times) - 1),
        "pids": len({result["worker"] for result in results}),
        "first_result_s": times[0] - started,
    }


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2, help="trials at once")
    args = parser.parse_args()
    if args.trials < 2:
        parser.error("--trials must be at least 2")
    incumbent.fetch()
    with common.cold_cache() as cache:
        ours = common.apart(run, "raytuner", args.trials, args.workers, cache=cache)
        theirs = common.apart(run, "llamaindex", args.trials, args.workers, cache=cache)
    result = {
        "raytuner_ms": ours["ms"],
        "llamaindex_ms": theirs["ms"],
        "ratio": theirs["ms"] / ours["ms"],
        "pids": ours["pids"],
        "first_result_s": ours["first_result_s"],
        "init_s": ours["init_s"],
    }
    rows = [
        common.at_most("raytuner, a trial", ours["ms"], 25, " ms"),
        common.Row("LlamaIndex, a trial", common.figure(theirs["ms"], " ms")),
        common.at_least("ratio", result["ratio"], 50),
        common.exactly("worker processes", ours["pids"], args.workers),
        common.at_most("first result after ray.init", ours["first_result_s"], SECONDS_TO_FIRST, " s"),
        common.Row("ray.init itself", common.figure(ours["init_s"], " s")),
    ]
    common.show(args, f"Overhead: {args.trials} trials, {args.workers} at once", rows, result)


if __name__ == "__main__":
    main()
