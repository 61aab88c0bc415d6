"""A retrieval-only sweep: top_k, retriever, fusion weight and cutoff over one index, the wikitexts of chroma-chunking.

First 60 questions, span_f1, minilm. A short search before it, in another process with the same cache folder, makes the
index. Milliseconds a trial are the wall time of tune() over the number of trials, Ray's own included, its start apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import common
import wikitexts

SPACE: dict[str, Any] = {
    "top_k": list(range(1, 11)),
    "retriever": ["vector", "bm25", "hybrid"],
    "fusion_weight": {"float": [0.1, 0.9], "step": 0.1, "when": {"retriever": "hybrid"}},
    "similarity_cutoff": [0.0, 0.01, 0.012, 0.014, 0.016],  # of fused scores, which are 0.0164 at the most
}
INDEXED = {"top_k": [1], "retriever": ["vector", "bm25"]}
QUESTIONS = 60
METRIC = "span_f1"
LIMIT_MS = 60


class Sweep(NamedTuple):
    trials: int
    seconds: float
    rss_mb: float


def run(data: Path, space: dict[str, Any], trials: int | None) -> Sweep:
    from memory import Sampler, rss_mb

    from raytuner import RagObjective, RayTuneParamTuner

    document, questions = wikitexts.load(data, QUESTIONS)
    objective = RagObjective([document], questions, metric=METRIC, embedding="minilm", chunk_size=256)
    tuner = RayTuneParamTuner(param_fn=objective, param_dict=space, metric=METRIC, num_samples=trials)
    with common.local_ray(), Sampler(rss_mb, every_s=0.5) as memory, common.Clock() as clock:
        tuned = tuner.tune()
    return Sweep(len(tuned.run_results), clock.seconds, memory.peak)


def main() -> None:
    from raytuner import SearchSpace

    parser = common.parser(__doc__, data=wikitexts.HELP)
    parser.add_argument("--trials", type=int, default=500)
    args = parser.parse_args()
    size = SearchSpace.from_dict(SPACE).size()
    assert size is not None
    if not 1 <= args.trials <= size:
        parser.error(f"--trials must be from 1 to {size}, the size of the grid")
    with common.cold_cache("minilm") as cache:
        common.apart(run, args.data, INDEXED, None, cache=cache)
        sweep = common.apart(run, args.data, SPACE, args.trials, cache=cache)
    assert sweep.trials == args.trials, f"{sweep.trials} of {args.trials} trials have a score"
    result = {"ms_per_trial": 1000 * sweep.seconds / sweep.trials, "rss_mb": sweep.rss_mb}
    rows = [
        common.at_most("a trial", result["ms_per_trial"], LIMIT_MS, " ms"),
        common.Row("all trials", common.figure(sweep.seconds, " s")),
        common.Row("peak memory, driver and trials", common.figure(sweep.rss_mb, " MB")),
    ]
    common.show(args, f"Retrieval sweep: {sweep.trials} trials, {QUESTIONS} questions, {METRIC}", rows, result)


if __name__ == "__main__":
    main()
