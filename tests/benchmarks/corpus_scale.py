"""Time and memory as documents grow: four documents of seeded recombinations of real sentences, wordllama.

Chunk sizes 256 and 512 by vector and by BM25, 20 questions whose answers are exact spans. What a further megabyte
costs, and takes in memory, is compared between the steps: it should not grow.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import common

DOCUMENTS = 4
QUESTIONS = 20
GRID: dict[str, list[Any]] = {"chunk_size": [256, 512], "retriever": ["vector", "bm25"]}
DISTINCT = 0.99
LINEAR = 1.5
PARAGRAPH = 8


def sentences() -> list[str]:
    """The distinct sentences of the packaged documents."""
    from raytuner.documents.load import load_documents
    from raytuner.pipeline.generate import split_sentences

    found = (text for document in load_documents("builtin:quickstart") for text in split_sentences(document.text))
    return list(dict.fromkeys(text for text in found if "\n" not in text and len(text) > 40))


def recombined(source: list[str], size: int, rng: random.Random) -> str:
    """A text of at least so many characters: sentences drawn at random, in paragraphs."""
    paragraphs: list[str] = []
    length = 0
    while length < size:
        paragraphs.append(" ".join(rng.choices(source, k=PARAGRAPH)))
        length += len(paragraphs[-1]) + 2
    return "\n\n".join(paragraphs)


def collection(megabytes: float) -> tuple[list[Any], Any]:
    """Documents of so many megabytes in all, and questions on them."""
    from raytuner.datasets import Question, QuestionSet
    from raytuner.datasets.question import Reference
    from raytuner.documents.document import Document

    rng = random.Random(0)
    source = sentences()
    size = int(megabytes * 1e6 / DOCUMENTS)
    documents = [Document(f"document-{i}", recombined(source, size, rng)) for i in range(DOCUMENTS)]
    questions = []
    for number in range(QUESTIONS):
        document = rng.choice(documents)
        start = document.text.index("\n\n", rng.randrange(len(document.text) // 2)) + 2
        end = document.text.index("\n\n", start)
        text = document.text[start:end]
        questions.append(Question(f"q{number}", text[:200], references=(Reference(document.id, start, end, text),)))
    return documents, QuestionSet(tuple(questions))


def run(megabytes: float) -> dict[str, float]:
    from memory import Sampler, rss_mb

    from raytuner import RagObjective, RayTuneParamTuner

    documents, questions = collection(megabytes)
    objective = RagObjective(documents, questions, metric="span_f1", embedding="wordllama")
    tuner = RayTuneParamTuner(param_fn=objective, param_dict=GRID, metric="span_f1")
    with common.local_ray(), Sampler(rss_mb, every_s=0.2) as memory, common.Clock() as clock:
        tuned = tuner.tune()
    assert len(tuned.run_results) == 4, "a configuration has no score"
    return {"mb": megabytes, "seconds": clock.seconds, "peak_mb": memory.peak}


def count(megabytes: float) -> dict[str, int]:
    """How many chunks there are, and how many of them are distinct."""
    from raytuner.pipeline.parameters import defaults
    from raytuner.pipeline.pipeline import Pipeline

    pipeline = Pipeline(collection(megabytes)[0])
    cut = [pipeline.chunks({**defaults(), "chunk_size": size}) for size in GRID["chunk_size"]]
    chunks = [chunk.text for own in cut for chunk in own]
    return {"chunks": len(chunks), "distinct": len(set(chunks))}


def growth(sizes: list[dict[str, float]], name: str) -> float:
    """How much more a further megabyte costs in the last step than in the first; 1 is linear."""
    slopes = [(after[name] - before[name]) / (after["mb"] - before["mb"]) for before, after in pairwise(sizes)]
    return slopes[-1] / slopes[0] if slopes[0] > 0 else float("inf")


def megabytes(text: str) -> list[float]:
    try:
        sizes = [float(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not _rises(sizes):
        raise argparse.ArgumentTypeError(f"{text!r}: give three sizes or more, rising, e.g. 1,4,16")
    return sizes


def _rises(sizes: Iterable[float]) -> bool:
    found = [0.0, *sizes]
    return len(found) > 3 and all(before < after for before, after in pairwise(found))


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--mb", type=megabytes, default=[1.0, 4.0, 16.0], metavar="MB,...")
    args = parser.parse_args()
    sizes, rows = [], []
    for size in args.mb:
        with common.cold_cache("wordllama") as cache:
            found = {**common.apart(run, size, cache=cache), **common.apart(count, size, cache=cache)}
        assert found["distinct"] >= DISTINCT * found["chunks"], f"{found}: too many equal chunks"
        sizes.append(found)
        value = f"{common.figure(found['seconds'], ' s')}, peak {common.figure(found['peak_mb'], ' MB')}"
        rows.append(common.Row(f"{size:g} MB, {found['chunks']} chunks", value))
    rows += [
        common.at_most("time of a further MB, last step over the first", growth(sizes, "seconds"), LINEAR),
        common.at_most("memory of a further MB, the same", growth(sizes, "peak_mb"), LINEAR),
    ]
    common.show(args, "Growing documents, wordllama", rows, {"sizes": sizes})


if __name__ == "__main__":
    main()
