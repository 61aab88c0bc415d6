"""What a warm start brings: trials to within 1% of the best, and regret, on the Llama 2 paper, without Ray.

All configurations of a space are scored once, on the Llama 2 paper and on the packaged documents: wordllama,
semantic_similarity. Then searches run on the table of the Llama 2 paper, the default configuration first: cold; with
the leaders of a search on the packaged documents; and with leaders and scores of one on the Llama 2 paper itself, both
of --earlier trials and with another seed. Figures are as in search_quality.py.
"""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path
from typing import Any, NamedTuple

import common

SPACE: dict[str, Any] = {
    "chunk_size": [64, 128, 256, 512, 1024],
    "chunk_overlap": [0, 0.25],
    "retriever": ["vector", "bm25", "hybrid"],
    "top_k": [1, 2, 3, 5],
}
METRIC = "semantic_similarity"
MODEL = "wordllama"
PACKAGED = "builtin:quickstart"
STARTS = ("cold", "other documents", "same documents")


class Found(NamedTuple):
    """One search: for each trial its raw sample and its score, in their order."""

    raws: list[dict[str, Any]]
    scores: list[float]


def scores(documents: str, questions: str) -> dict[tuple[Any, ...], float]:
    """The score of each configuration of the space."""
    from raytuner import RagObjective

    objective = RagObjective(documents, questions, metric=METRIC, embedding=MODEL)
    points = itertools.product(*SPACE.values())
    return {point: objective(dict(zip(SPACE, point, strict=True))).score for point in points}


def search(name: str, table: dict[tuple[Any, ...], float], seed: int, trials: int, **given: Any) -> Found:
    """Search a table.

    Args:
        name: The algorithm.
        table: The score of each configuration.
        seed: Of the search.
        trials: How many.
        **given: ``first`` and ``known`` of a warm start.
    """
    from raytuner import SearchSpace
    from raytuner.search import make_searcher

    space = SearchSpace.from_dict(SPACE)
    points = [space.default(), *given.get("first", ())]
    made = make_searcher(name, space, METRIC, "max", seed, trials=trials, points=points, known=given.get("known", ()))
    found = Found([], [])
    while isinstance(suggested := made.suggest(str(len(found.raws))), dict):
        score = table[tuple(space.decode(suggested["point"])[name] for name in SPACE)]
        made.on_trial_complete(str(len(found.raws)), {METRIC: score, "training_iteration": 1})
        found.raws.append(suggested["point"])
        found.scores.append(score)
    return found


def warm(found: Found, *, same: bool) -> dict[str, Any]:
    """What an earlier search gives to another: its leaders and, of the same data, the scores of the others."""
    from raytuner.search.task import Evaluated
    from raytuner.warm_start import LEADERS

    ranked = sorted(range(len(found.raws)), key=lambda at: -found.scores[at])
    others = [Evaluated(found.raws[at], {METRIC: found.scores[at]}) for at in ranked[LEADERS:]]
    return {"first": [found.raws[at] for at in ranked[:LEADERS]], "known": others if same else []}


def figures(runs: list[Found], table: dict[tuple[Any, ...], float], trials: int) -> dict[str, float]:
    """The median of the trials to within 1%, and the mean regret after 5 and 10 trials."""
    best, median = max(table.values()), statistics.median(table.values())
    soon = [next((at for at, score in enumerate(run.scores, 1) if score >= 0.99 * best), trials + 1) for run in runs]
    regrets = {
        f"regret_{after}": statistics.mean((best - max(run.scores[:after])) / (best - median) for run in runs)
        for after in (5, 10)
    }
    return {"to_1pct": statistics.median(soon), "to_1pct_mean": statistics.mean(soon), **regrets}


def main() -> None:
    parser = common.parser(__doc__, data="the folder that holds llama2/")
    parser.add_argument("--search", default="auto,optuna,random", metavar="A,B", help="algorithms")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--earlier", type=int, default=15, metavar="N", help="trials of the earlier search")
    parser.add_argument("--seeds", type=int, default=20)
    args = parser.parse_args()
    if min(args.trials, args.earlier, args.seeds) < 1:
        parser.error("--trials, --earlier and --seeds must be at least 1")
    llama2: Path = args.data / "llama2"
    if not llama2.is_dir():
        parser.error(f"{llama2} is no folder; docs/data.md says where the data comes from")
    own = scores(str(llama2 / "llama2_paper.md"), str(llama2 / "llama2_eval_qr_dataset.json"))
    other = scores(PACKAGED, PACKAGED)
    result: dict[str, dict[str, dict[str, float]]] = {}
    for name in args.search.split(","):
        runs: dict[str, list[Found]] = {start: [] for start in STARTS}
        for seed in range(args.seeds):
            for start, table in zip(STARTS, (None, other, own), strict=True):
                earlier = None if table is None else search(name, table, 1000 + seed, args.earlier)
                given = {} if earlier is None else warm(earlier, same=table is own)
                runs[start].append(search(name, own, seed, args.trials, **given))
        result[name] = {start: figures(found, own, args.trials) for start, found in runs.items()}
    rows = [
        common.Row(f"{name}, {start}: {figure}", f"{value:.3f}")
        for name, starts in result.items()
        for start, found in starts.items()
        for figure, value in found.items()
    ]
    common.show(args, f"Warm start on the Llama 2 paper: {len(own)} configurations, {args.seeds} seeds", rows, result)


if __name__ == "__main__":
    main()
