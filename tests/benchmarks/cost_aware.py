"""How many indexes a search builds until it has found what is good: auto, which knows of the work, and Optuna's TPE.

Wikitexts and state_of_the_union of chroma-chunking, minilm, span IoU; chunk size, overlap, retriever and top-k, 216
configurations. All are scored once, in this process with the usual cache folder (some minutes the first time); then
the searches are driven on their scores, one trial at a time, until one is within 1% of the best. An index is that of
vectors or that of BM25 over one way of cutting; hybrid retrieval needs both.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import common

from raytuner import RagObjective, datasets
from raytuner.documents.load import load_documents
from raytuner.objective import Objective
from raytuner.pipeline.pipeline import Pipeline
from raytuner.search import make_searcher
from raytuner.space import SearchSpace
from raytuner.work import work

CORPORA = ("wikitexts", "state_of_the_union")
SPACE: dict[str, Any] = {
    "chunk_size": [128, 192, 256, 384, 512, 768],
    "chunk_overlap": [0, 0.1, 0.25],
    "retriever": ["vector", "bm25", "hybrid"],
    "top_k": [1, 3, 5, 10],
}
METRIC = "span_iou"
SEEDS = 10
SHARE = 0.5
HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("RAYTUNER_DATA") or HERE.parents[2] / "shared" / "data") / "chroma-chunking"


class Found(NamedTuple):
    """What a search took until it was within 1% of the best.

    Attributes:
        trials: Trials.
        builds: Indexes of vectors and of BM25.
        vectors: Of these those of vectors.
        chunkings: Ways of cutting.
    """

    trials: int
    builds: int
    vectors: int
    chunkings: int


def load(data: Path) -> RagObjective:
    """The objective."""
    documents = [load_documents(data / "corpora" / f"{name}.md")[0] for name in CORPORA]
    asked = datasets.load(data / "questions.csv")
    own = [q for q in asked if any(reference.document in CORPORA for reference in q.references)]
    return RagObjective(documents, datasets.QuestionSet(tuple(own)), metric=METRIC, embedding="minilm")


def search(name: str, space: SearchSpace, scores: Mapping[str, float], rag: RagObjective, seed: int) -> Found:
    """Search until a configuration is within 1% of the best.

    Args:
        name: The algorithm.
        space: The space.
        scores: The score of each configuration, by its key in the space.
        rag: The objective.
        seed: The seed.
    """
    made = make_searcher(name, space, METRIC, "max", seed, work=work(Objective(rag)))
    pipeline, goal = Pipeline(rag.documents), 0.99 * max(scores.values())
    links: dict[str, str] = {}  # key -> stage
    for trial in range(len(scores)):
        raw = made.suggest(str(trial))["point"]
        chain = pipeline.chain(rag.resolved(space.configuration(raw)))
        links |= {chain.split.key: "split"}
        links |= {chain.vectors.key: "vectors"} if chain.embeds else {}
        links |= {chain.index.key: "bm25"} if chain.way in ("bm25", "hybrid") else {}
        score = scores[space.key(raw)]
        if score >= goal:
            stages = list(links.values())
            vectors, bm25 = stages.count("vectors"), stages.count("bm25")
            return Found(trial + 1, vectors + bm25, vectors, len(stages) - vectors - bm25)
        made.on_trial_complete(str(trial), {METRIC: score, "training_iteration": 1})
    raise AssertionError("the best is among the configurations")


def main() -> None:
    parser = common.parser(__doc__)
    help_data = "a folder with questions.csv and corpora; by default chroma-chunking in $RAYTUNER_DATA"
    parser.add_argument("--data", type=common.folder, default=DATA, metavar="DIR", help=help_data)
    args = parser.parse_args()
    if not args.data.is_dir():
        parser.error(f"{args.data} is no folder; docs/data.md says where the data comes from")
    space, rag = SearchSpace.from_dict(SPACE), load(args.data)
    with common.Clock() as clock:
        scores = {space.key(raw): rag(space.configuration(raw)).score for raw in space.points()}
    found = {
        name: [search(name, space, scores, rag, seed) for seed in range(SEEDS)] for name in ("auto", "optuna", "random")
    }
    result: dict[str, Any] = {
        name: {field: statistics.median(getattr(one, field) for one in runs) for field in Found._fields}
        for name, runs in found.items()
    }
    result["ratio"] = result["auto"]["builds"] / result["optuna"]["builds"]
    rows = [
        common.Row(f"{name} {field}", common.figure(result[name][field])) for name in found for field in Found._fields
    ]
    rows += [
        common.at_most("indexes of auto over those of optuna", result["ratio"], SHARE),
        common.Row("scoring all configurations", common.figure(clock.seconds / 60, " min")),
    ]
    common.show(
        args, f"Until within 1% of the best of {len(scores)} configurations, median of {SEEDS} seeds", rows, result
    )


if __name__ == "__main__":
    main()
