"""Why artefacts are used again or not."""

from __future__ import annotations

from typing import Any

import pytest

from raytuner import RagObjective
from raytuner.datasets import load
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.reuse import MADE_FROM, reuse

DOCUMENTS = load_documents("builtin:quickstart")
QUESTIONS = load("builtin:quickstart", documents=DOCUMENTS)
PARAMS = {"chunk_size": 128, "retriever": "hybrid"}


def objective(documents: list[Document] = DOCUMENTS, **options: Any) -> RagObjective:
    return RagObjective(documents, QUESTIONS, **{"metric": "hit_rate", "embedding": "wordllama", **options})


def found(params: dict[str, Any], **options: Any) -> dict[str, tuple[bool, dict[str, Any]]]:
    return {part.stage: (part.there, dict(part.differs)) for part in reuse(objective(**options), params)}


@pytest.mark.usefixtures("empty_cache")
def test_a_key_that_is_not_there_is_compared_with_the_nearest() -> None:
    nothing = (False, {})
    assert found(PARAMS) == {"sentence": nothing, "embed_chunks": nothing, "bm25_index": nothing}
    objective()(PARAMS)
    there = (True, {})
    assert found(PARAMS) == {"sentence": there, "embed_chunks": there, "bm25_index": there}
    assert found({**PARAMS, "top_k": 9, "fusion_weight": 0.9}) == found(PARAMS)
    assert found({**PARAMS, "bm25_b": 0.5}) == {
        "sentence": there,
        "embed_chunks": there,
        "bm25_index": (False, {"bm25_b": (0.75, 0.5)}),
    }
    larger = found({**PARAMS, "chunk_size": 256})
    assert larger["sentence"] == (False, {"chunk_size": (128, 256)})
    assert list(larger["embed_chunks"][1]) == list(larger["bm25_index"][1]) == [MADE_FROM]
    assert list(found(PARAMS, embedding="minilm")["embed_chunks"][1]) == ["embedding"]
    assert list(found({**PARAMS, "splitter": "token"})["embed_chunks"][1]) == [MADE_FROM]


@pytest.mark.usefixtures("empty_cache")
def test_other_documents_are_another_beginning_of_the_chain() -> None:
    objective()(PARAMS)
    first, *others = DOCUMENTS
    changed = [Document(first.id, first.text + " More.", first.source), *others]
    assert {name: list(differs) for name, (_, differs) in found(PARAMS, documents=changed).items()} == {
        "sentence": [MADE_FROM],
        "embed_chunks": [MADE_FROM],
        "bm25_index": [MADE_FROM],
    }


def test_a_retriever_needs_only_its_own(empty_cache: object) -> None:
    assert list(found({"retriever": "bm25"})) == ["sentence", "bm25_index"]
    assert list(found({"retriever": "vector"})) == ["sentence", "embed_chunks"]
