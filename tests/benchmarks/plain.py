"""raytuner against what a user would write instead: Optuna's GridSampler around LlamaIndex, without a cache.

18 configurations of chunk_size, retriever and top_k on the wikitexts of chroma-chunking, 60 questions, span_f1, minilm
in the process. The floor splits and embeds each size once and retrieves once at the greatest top_k. Each side is in a
new process with a cold cache; its time includes the import of its libraries, raytuner's those of its workers too, and
leaves out Ray's start. Scores by BM25 differ a little: raytuner also indexes pairs of characters of the few words in
Japanese.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import common
import wikitexts
from recording import Recording, texts

SIZES, RETRIEVERS, TOP_KS = [128, 256, 512], ["bm25", "vector"], [1, 3, 5]
GRID: dict[str, list[Any]] = {"chunk_size": SIZES, "retriever": RETRIEVERS, "top_k": TOP_KS}
QUESTIONS = 60
METRIC = "span_f1"
FASTER, OVER_FLOOR = 3, 1.3
SAME_SCORES = 1e-4

Span = tuple[int, int]
Retrieve = Callable[[str, int], list[Span]]
Scores = dict[tuple[Any, ...], float]


class Side(NamedTuple):
    """The seconds of a side, how many texts it embedded, and its scores by chunk size, retriever and top-k."""

    seconds: float
    texts: int
    scores: Scores


def run_raytuner(data: Path, recorded: Path) -> Side:
    with common.local_ray(), common.Clock() as clock:
        from raytuner import RagObjective, RayTuneParamTuner

        document, questions = wikitexts.load(data, QUESTIONS)
        objective = RagObjective([document], questions, metric=METRIC, embedding="minilm", chunk_overlap=0)
        Recording(recorded).attach(objective)
        tuned = RayTuneParamTuner(param_fn=objective, param_dict=GRID, metric=METRIC).tune()
    scores = {tuple(run.params[name] for name in GRID): run.score for run in tuned.run_results}
    return Side(clock.seconds, len(texts(recorded)), scores)


def run_plain(data: Path, recorded: Path) -> Side:
    """What a user would write: every trial does all of its work."""
    Recording(recorded)
    with common.Clock() as clock:
        import optuna

        from raytuner import models

        document, questions = wikitexts.load(data, QUESTIONS)
        model = models.embedding("minilm")

        def objective(trial: optuna.Trial) -> float:
            params = {name: trial.suggest_categorical(name, values) for name, values in GRID.items()}
            nodes = split(document.text, params["chunk_size"])
            retrieve = by_bm25(nodes) if params["retriever"] == "bm25" else by_vector(nodes, model)
            return score(questions, lambda question: retrieve(question, params["top_k"]))

        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.GridSampler(GRID))
        study.optimize(objective)
    scores = {tuple(trial.params[name] for name in GRID): trial.values[0] for trial in study.trials}
    return Side(clock.seconds, len(texts(recorded)), scores)


def run_floor(data: Path) -> Side:
    """All that has to be done, once, by hand."""
    with common.Clock() as clock:
        import numpy as np
        from bare import Session

        document, questions = wikitexts.load(data, QUESTIONS)
        nodes = {size: split(document.text, size) for size in SIZES}
        asked = [question.text for question in questions]
        distinct = list(dict.fromkeys([*asked, *(node.text for size in SIZES for node in nodes[size])]))
        vectors = dict(zip(distinct, Session(truncate=False).embed(distinct), strict=True))
        scores: Scores = {}
        for size in SIZES:
            matrix = np.stack([vectors[node.text] for node in nodes[size]])
            bm25 = by_bm25(nodes[size])
            deep: dict[str, dict[str, list[Span]]] = {retriever: {} for retriever in RETRIEVERS}
            for text in asked:
                nearest = np.argsort(-(matrix @ vectors[text]), kind="stable")[: max(TOP_KS)]
                deep["vector"][text] = [span(nodes[size][i]) for i in nearest]
                deep["bm25"][text] = bm25(text, max(TOP_KS))
            for retriever, top_k in itertools.product(RETRIEVERS, TOP_KS):
                spans = {text: found[:top_k] for text, found in deep[retriever].items()}
                scores[size, retriever, top_k] = score(questions, spans.__getitem__)
    return Side(clock.seconds, len(distinct), scores)


def split(text: str, chunk_size: int) -> list[Any]:
    """Split as LlamaIndex does; without metadata, whose tokens it would take off the size."""
    from raytuner.pipeline.nltk_data import use_readable_nltk_data

    use_readable_nltk_data()
    from llama_index.core import Document
    from llama_index.core.node_parser import SentenceSplitter

    splitter = SentenceSplitter(chunk_size=chunk_size, chunk_overlap=0)
    nodes: list[Any] = splitter.get_nodes_from_documents([Document(text=text)])
    return nodes


def by_vector(nodes: Sequence[Any], model: Any) -> Retrieve:
    from llama_index.core import VectorStoreIndex

    index = VectorStoreIndex(nodes, embed_model=model)
    return lambda question, top_k: [
        span(found.node) for found in index.as_retriever(similarity_top_k=top_k).retrieve(question)
    ]


def by_bm25(nodes: Sequence[Any]) -> Retrieve:
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize([node.text for node in nodes], stopwords="en", show_progress=False), show_progress=False)

    def retrieve(question: str, top_k: int) -> list[Span]:
        terms = bm25s.tokenize(question, stopwords="en", show_progress=False)
        found, _ = index.retrieve(terms, k=top_k, show_progress=False)
        return [span(nodes[i]) for i in found[0]]

    return retrieve


def span(node: Any) -> Span:
    return node.start_char_idx, node.end_char_idx


def score(questions: Any, retrieve: Callable[[str], list[Span]]) -> float:
    """The mean F1 of the characters retrieved and those of the reference spans."""
    values = [f1(retrieve(q.text), [reference.span for reference in q.references]) for q in questions]
    return sum(values) / len(values)


def f1(retrieved: Sequence[Span], references: Sequence[Span]) -> float:
    """2 |R and G| / (|R| + |G|) over characters."""
    found = {i for start, end in retrieved for i in range(start, end)}
    right = {i for start, end in references for i in range(start, end)}
    return 2 * len(found & right) / (len(found) + len(right))


def differing(scores: Scores, others: Scores) -> list[str]:
    """The configurations whose scores are not the same."""
    assert scores.keys() == others.keys(), f"{len(scores)} configurations here, {len(others)} there"
    pairs = ((params, value, others[params]) for params, value in scores.items())
    return [f"{params}: {here:.4f}, {there:.4f}" for params, here, there in pairs if abs(here - there) > SAME_SCORES]


def main() -> None:
    args = common.parser(__doc__, data=wikitexts.HELP).parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        recorded = Path(scratch)
        with common.cold_cache("minilm") as cache:
            ours = common.apart(run_raytuner, args.data, recorded / "raytuner", cache=cache)
        with common.cold_cache("minilm") as cache:
            plain = common.apart(run_plain, args.data, recorded / "plain", cache=cache)
        with common.cold_cache("minilm") as cache:
            floor = common.apart(run_floor, args.data, cache=cache)
    result = {
        "raytuner_s": ours.seconds,
        "plain_s": plain.seconds,
        "floor_s": floor.seconds,
        "raytuner_texts": ours.texts,
        "plain_texts": plain.texts,
        "floor_texts": floor.texts,
    }
    other = {name: len(differing(ours.scores, side.scores)) for name, side in (("plain", plain), ("floor", floor))}
    for line in differing(ours.scores, plain.scores):
        print(f"scores differ, raytuner and plain: {line}")
    rows = [
        common.Row("raytuner", common.figure(ours.seconds, " s")),
        common.Row("plain script", common.figure(plain.seconds, " s")),
        common.Row("floor", common.figure(floor.seconds, " s")),
        common.at_least("faster than plain", plain.seconds / ours.seconds, FASTER),
        common.at_most("over the floor", ours.seconds / floor.seconds, OVER_FLOOR),
        common.exactly("texts embedded by raytuner", ours.texts, floor.texts),
        common.Row("texts embedded by plain", str(plain.texts)),
        common.Row("other scores than plain", f"{other['plain']} of {len(ours.scores)}"),
        common.Row("other scores than floor", f"{other['floor']} of {len(ours.scores)}"),
    ]
    common.show(args, f"A user's own script, {len(ours.scores)} configurations, {QUESTIONS} questions", rows, result)


if __name__ == "__main__":
    main()
