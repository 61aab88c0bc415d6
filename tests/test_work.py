"""What work configurations share."""

from __future__ import annotations

from typing import Any

import pytest

from raytuner import RagObjective
from raytuner.datasets import load
from raytuner.documents.load import load_documents
from raytuner.objective import Objective
from raytuner.pipeline.pipeline import Pipeline
from raytuner.work import work

DOCUMENTS = load_documents("builtin:quickstart")
RAG = RagObjective(DOCUMENTS, load("builtin:quickstart", documents=DOCUMENTS), metric="span_f1", embedding="minilm")


def needed(**params: Any) -> dict[str, float]:
    of = work(Objective(RAG))
    assert of is not None
    return dict(of(params))


@pytest.mark.parametrize(
    ("retriever", "links"), [("vector", {"vectors"}), ("bm25", {"index"}), ("hybrid", {"vectors", "index"})]
)
def test_the_keys_are_those_of_the_pipeline(retriever: str, links: set[str]) -> None:
    params = {"retriever": retriever, "chunk_size": 128}
    chain = Pipeline(DOCUMENTS).chain(RAG.resolved(params))
    assert set(needed(**params)) == {chain.split.key, *(getattr(chain, link).key for link in links)}


def test_what_is_retrieved_from_one_index_is_no_new_work() -> None:
    assert needed(chunk_size=128, top_k=1) == needed(chunk_size=128, top_k=10)
    assert not set(needed(chunk_size=128)) & set(needed(chunk_size=256))
    assert needed(retriever="bm25").keys() < needed(retriever="hybrid").keys()


def test_embedding_takes_longest_and_the_longer_the_more_chunks_overlap() -> None:
    assert sum(needed(retriever="vector").values()) > 5 * sum(needed(retriever="bm25").values())
    little, much = (sum(needed(chunk_size=128, chunk_overlap=overlap).values()) for overlap in (0, 0.5))
    assert much > 1.5 * little
    assert sum(needed(embedding="wordllama").values()) < sum(needed(embedding="minilm").values()) / 5


def test_fixed_parameters_count_and_a_splitter_from_outside_is_not_imported() -> None:
    of = work(Objective(RAG, {"retriever": "bm25"}))
    assert of is not None
    assert len(of({"chunk_size": 64})) == 2
    own = [of({"splitter": "no_such_module:Splitter", "chunk_size": size}) for size in (64, 128)]
    assert own[0].keys() != own[1].keys()


def test_only_a_rag_pipeline_is_known() -> None:
    class Other:
        def blocks(self, params: Any) -> Any:
            yield {}

    assert work(Objective(lambda params: 1.0)) is None
    assert work(Objective(Other())) is None  # type: ignore[arg-type]
