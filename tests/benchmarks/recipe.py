"""The recipe of LlamaIndex's tuning guide on the Llama 2 paper: raytuner and LlamaIndex's own two tuners.

Chunk size and top-k by semantic similarity, minilm in the process, the mock LLM through LlamaIndex's prompt in compact
mode, overlap 200 tokens as the recipe has it. Times are those of tune(), each in a new process with a cold cache,
ray.init apart. The limit is the time to embed every distinct text once, with a bare session and a thread a CPU.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import common
import incumbent
from bare import Session
from recording import Recording, texts

DATA = "a folder with llama2_paper.md and llama2_eval_qr_dataset.json"
CHUNK_SIZES = [256, 512, 1024]
TOLERANCE = 1e-4
DISTINCT_SCORES = 6
OVER_LIMIT = 1.2

Scores = dict[tuple[int, int], float]
Grid = dict[str, list[int]]


class Case(NamedTuple):
    """A grid, and how many times faster than LlamaIndex's tuner on Ray raytuner should be there."""

    name: str
    grid: Grid
    ratio: float


CASES = (
    Case("chunk_size x top_k 1, 2, 5", {"chunk_size": CHUNK_SIZES, "top_k": [1, 2, 5]}, 2.2),
    Case("chunk_size x top_k 1 to 10", {"chunk_size": CHUNK_SIZES, "top_k": list(range(1, 11))}, 4),
)


class Measured(NamedTuple):
    """The seconds of one tune() and the scores by chunk size and top-k."""

    seconds: float
    scores: Scores


def objective(data: Path, questions: int) -> Any:
    """raytuner's own objective, with the settings of the recipe."""
    from raytuner import RagObjective, datasets

    asked = datasets.load(data / "llama2_eval_qr_dataset.json")
    return RagObjective(
        data / "llama2_paper.md",
        datasets.QuestionSet(asked.questions[:questions]),
        metric="semantic_similarity",
        llm="mock",
        response_mode="compact",
        retriever="vector",
        splitter="sentence",
        chunk_overlap=200,
        embedding="minilm",
        long_text="truncate",
    )


def run_raytuner(data: Path, questions: int, grid: Grid, recorded: Path | None = None) -> Measured:
    from raytuner import RayTuneParamTuner

    tuned = objective(data, questions)
    if recorded is not None:
        Recording(recorded).attach(tuned)
    return _tuned(RayTuneParamTuner(param_fn=tuned, param_dict=grid), grid, on_ray=True)


def run_llamaindex(data: Path, questions: int, grid: Grid, on_ray: bool, recorded: Path | None = None) -> Measured:
    from llama_index.core import Document

    theirs = incumbent.load()
    if recorded is not None:
        Recording(recorded)
    ours = objective(data, questions)  # for the same texts
    fixed = {
        "docs": [Document(text=document.text) for document in ours.documents],
        "eval_qs": [question.text for question in ours.questions],
        "ref_response_strs": [question.answer for question in ours.questions],
    }
    tuner = theirs.RayTuneParamTuner if on_ray else theirs.ParamTuner
    made = tuner(param_fn=incumbent.recipe(theirs.RunResult), param_dict=grid, fixed_param_dict=fixed)
    return _tuned(made, grid, on_ray)


def _tuned(tuner: Any, grid: Grid, on_ray: bool) -> Measured:
    """Run a tuner and take its time, on a Ray that is there before."""
    clock = common.Clock()
    if on_ray:
        with common.local_ray(), clock:
            tuned = tuner.tune()
    else:
        with clock:
            tuned = tuner.tune()
    scores = {(run.params["chunk_size"], run.params["top_k"]): run.score for run in tuned.run_results}
    assert len(scores) == len(grid["chunk_size"]) * len(grid["top_k"]), f"{len(scores)} configurations have a score"
    return Measured(clock.seconds, scores)


def limit(distinct: Sequence[str]) -> float:
    """Seconds to embed texts once, the loading of the weights apart."""
    session = Session(truncate=True)
    with common.Clock() as clock:
        session.embed(distinct)
    return clock.seconds


def compare(data: Path, questions: int, case: Case) -> dict[str, Any]:
    """Run all sides on one grid."""
    print(f"{case.name}: ", end="", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        recorded = Path(scratch) / "texts"
        ours = _cold(run_raytuner, data, questions, case.grid)
        print(f"raytuner {ours.seconds:.1f} s, ", end="", flush=True)
        on_ray = _cold(run_llamaindex, data, questions, case.grid, True)
        print(f"LlamaIndex on Ray {on_ray.seconds:.1f} s, ", end="", flush=True)
        sync = _cold(run_llamaindex, data, questions, case.grid, False, recorded)
        print(f"in one process {sync.seconds:.1f} s, ", end="", flush=True)
        distinct = list(dict.fromkeys(texts(recorded)))
        limit_s: float = _cold(limit, distinct)
        print(f"limit {limit_s:.1f} s for {len(distinct)} texts")
    check_scores(ours.scores, on_ray.scores, sync.scores)
    return {
        "name": case.name,
        "raytuner_s": ours.seconds,
        "llamaindex_ray_s": on_ray.seconds,
        "llamaindex_sync_s": sync.seconds,
        "limit_s": limit_s,
        "ratio_ray": on_ray.seconds / ours.seconds,
        "ratio_sync": sync.seconds / ours.seconds,
        "over_limit": ours.seconds / limit_s,
    }


def _cold(function: Any, *args: Any) -> Any:
    with common.cold_cache("minilm") as cache:
        return common.apart(function, *args, cache=cache)


def check_scores(ours: Scores, *theirs: Scores) -> None:
    """Refuse a comparison of different work.

    Raises:
        AssertionError: Scores differ, or hardly depend on the configuration.
    """
    assert len(set(ours.values())) >= DISTINCT_SCORES, f"only {len(set(ours.values()))} distinct scores"
    for other in theirs:
        assert ours.keys() == other.keys()
        worst = max(ours, key=lambda params: abs(ours[params] - other[params]))
        assert abs(ours[worst] - other[worst]) <= TOLERANCE, f"{worst}: {ours[worst]} here, {other[worst]} there"


def main() -> None:
    parser = common.parser(__doc__, data=DATA)
    parser.add_argument("--questions", type=int, default=60, help="for a quicker look; goals are for all 60")
    parser.add_argument("--cases", type=int, default=len(CASES), help="how many of the grids")
    args = parser.parse_args()
    incumbent.fetch()
    grids, rows = [], []
    for case in CASES[: args.cases]:
        found = compare(args.data, args.questions, case)
        grids.append(found)
        rows += [
            common.Row(case.name, ""),
            common.Row("  raytuner", common.figure(found["raytuner_s"], " s")),
            common.Row("  LlamaIndex on Ray", common.figure(found["llamaindex_ray_s"], " s")),
            common.Row("  LlamaIndex in one process", common.figure(found["llamaindex_sync_s"], " s")),
            common.Row("  each text embedded once", common.figure(found["limit_s"], " s")),
            common.at_least("  faster than on Ray", found["ratio_ray"], case.ratio),
            common.Row("  faster than in one process", common.figure(found["ratio_sync"])),
            common.at_most("  over the limit", found["over_limit"], OVER_LIMIT),
        ]
    common.show(args, f"The guide's recipe, {args.questions} questions, equal scores", rows, {"grids": grids})


if __name__ == "__main__":
    main()
