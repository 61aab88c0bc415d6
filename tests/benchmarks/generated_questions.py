"""How well questions made without an LLM rank configurations, compared with real ones.

``python tests/benchmarks/generated_questions.py --data DIR --json``: DIR is a folder like chroma-chunking, with
``corpora`` and ``questions.csv``. 24 configurations are scored on the real questions and on made ones; Spearman's rank
correlation of the scores, the median of the seeds, and by how much the configuration that the made ones choose is worse
on the real ones than the best of all (a fraction).
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import common
from scipy.stats import spearmanr

from raytuner import RagObjective, SearchSpace, datasets
from raytuner.datasets import QuestionSet
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.generation import extracted
from raytuner.generation.draft import as_question

SPACE: dict[str, Any] = {
    "chunk_size": [64, 128, 256, 512],
    "retriever": ["bm25", "vector", "hybrid"],
    "top_k": [1, 5],
}
METRICS = ("span_f4", "span_iou", "ndcg", "span_recall")
SEEDS = 5

Scores = Sequence[Mapping[str, float]]


def scores(documents: Sequence[Document], questions: QuestionSet) -> Scores:
    rag = RagObjective(documents, questions, metric=METRICS, embedding="wordllama")
    space = SearchSpace.from_dict(SPACE)
    return [rag(space.configuration(raw)).metrics for raw in space.points()]


def made(documents: Sequence[Document], count: int, seed: int) -> QuestionSet:
    texts = {document.id: document.text for document in documents}
    drafts = extracted(documents, count, seed)
    return QuestionSet(tuple(as_question(draft, number, texts) for number, draft in enumerate(drafts, 1)))


def compared(real: Scores, other: Scores, metric: str) -> tuple[float, float]:
    """The rank correlation, and what is lost by the choice of the made questions."""
    ours, theirs = [row[metric] for row in real], [row[metric] for row in other]
    chosen, best = ours[theirs.index(max(theirs))], max(ours)
    return float(spearmanr(ours, theirs).statistic), (best - chosen) / best


def main() -> None:
    parser = common.parser(__doc__, data="a folder like chroma-chunking")
    parser.add_argument("--n", type=int, default=60)
    args = parser.parse_args()
    documents = load_documents(args.data / "corpora")
    real = scores(documents, datasets.load(args.data / "questions.csv", documents=documents))
    others = [scores(documents, made(documents, args.n, seed)) for seed in range(SEEDS)]
    found = {}
    rows = []
    for metric in METRICS:
        pairs = [compared(real, other, metric) for other in others]
        correlation, loss = (statistics.median(values) for values in zip(*pairs, strict=True))
        found[metric] = {"correlation": correlation, "loss": loss}
        rows.append(common.Row(metric, f"rank correlation {correlation:.3f}, loss {loss:.4f}"))
    common.show(args, f"{len(real)} configurations, {args.n} made questions, {SEEDS} seeds", rows, found)


if __name__ == "__main__":
    main()
