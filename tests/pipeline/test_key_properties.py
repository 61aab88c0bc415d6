"""A change of anything changes exactly the keys downstream of it, and nothing else."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from raytuner.documents.document import Document
from raytuner.models.spec import spec, table_of
from raytuner.pipeline.embed import embed_chunks
from raytuner.pipeline.generate import extract, generate
from raytuner.pipeline.pipeline import Pipeline
from raytuner.pipeline.retrieve import bm25_index, bm25_search, fuse, select, vector_search
from raytuner.pipeline.splitters import SPLITTERS, splitter_stage
from raytuner.pipeline.stage import Stage

SERVED = [
    {"model": "openai-like:a", "base_url": "http://localhost:1/v1"},
    {"model": "openai-like:a", "base_url": "http://localhost:2/v1"},
    {"model": "openai-like:b", "base_url": "http://localhost:1/v1"},
    {"model": "openai-like:a", "base_url": "http://localhost:1/v1", "version": "2"},
    {"model": "openai-like:a", "base_url": "http://localhost:1/v1", "max_tokens": 7},
]
SPECS = [spec("served", table_of({"served": settings})) for settings in SERVED]

VALUES: dict[str, list[Any]] = {
    "splitter": [name for name in SPLITTERS if name != "custom"],
    "chunk_size": [64, 65, 512],
    "chunk_overlap": [0, 0.1, 16],
    "breakpoint_percentile": [90, 95],
    "window_size": [1, 3],
    "embedding": ["minilm", "wordllama", *SPECS],
    "long_text": ["windows", "truncate"],
    "bm25_k1": [1.5, 1.2],
    "bm25_b": [0.75, 0.5],
    "fusion": ["reciprocal_rank", "weighted"],
    "fusion_weight": [0.5, 0.25],
    "fusion_depth": [100, 50],
    "top_k": [1, 3, 10],
    "similarity_cutoff": [None, 0.5],
    "llm": ["mock", *SPECS],
    "prompt": [None, "{context_str} {query_str}", "{query_str} {context_str}"],
    "response_mode": ["compact", "refine"],
    "temperature": [0.0, 0.7],
    "answer_tokens": [100, 50],
}

UPSTREAM: dict[str, tuple[str, ...]] = {
    "split": (),
    "embed": ("split",),
    "vector": ("embed",),
    "index": ("split",),
    "bm25": ("index",),
    "fused": ("vector", "bm25"),
    "answered": (),
    "extracted": (),
}
"""What the key of each artefact is made from; those of answers hold the retrieved texts, not where they come from."""

configurations = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in VALUES.items()})
texts = st.text(min_size=1, max_size=20)


def stages_of(params: dict[str, Any]) -> dict[str, Stage]:
    return {
        "split": splitter_stage(params),
        "embed": embed_chunks,
        "vector": vector_search,
        "index": bm25_index,
        "bm25": bm25_search,
        "fused": fuse,
        "answered": generate,
        "extracted": extract,
    }


def keys(params: dict[str, Any], documents: list[Document]) -> dict[str, str]:
    found = {"split": Pipeline(documents).split_key(params)}
    for name, part in stages_of(params).items():
        if name != "split":
            found[name] = part.key(params, *(found[upstream] for upstream in UPSTREAM[name]))
    return found


def downstream(name: str) -> set[str]:
    return {name}.union(*(downstream(other) for other, upstream in UPSTREAM.items() if name in upstream))


DOCUMENTS = [Document("a", "First text."), Document("b", "Second text.")]


@given(configurations, st.sampled_from(sorted(VALUES)), st.data())
def test_a_parameter_changes_the_keys_of_the_stages_that_take_it_and_of_those_below(
    params: dict[str, Any], name: str, data: st.DataObject
) -> None:
    other = data.draw(st.sampled_from([value for value in VALUES[name] if value != params[name]]))
    changed = {**params, name: other}
    before, after = keys(params, DOCUMENTS), keys(changed, DOCUMENTS)
    taking = {link for link, part in stages_of(params).items() if name in part.parameters}
    taking |= {"split"} if name == "splitter" else set()
    expected: set[str] = set().union(*map(downstream, taking))
    assert {link for link in before if before[link] != after[link]} == expected


@given(configurations, st.lists(texts, min_size=1, max_size=3), st.lists(texts, min_size=1, max_size=3))
def test_documents_change_all_keys_but_those_of_answers(
    params: dict[str, Any], some: list[str], others: list[str]
) -> None:
    first, second = ([Document(str(i), text) for i, text in enumerate(chosen)] for chosen in (some, others))
    before, after = keys(params, first), keys(params, second)
    expected = set() if some == others else downstream("split")
    assert {link for link in before if before[link] != after[link]} == expected


@given(configurations)
def test_the_cut_to_top_k_is_in_no_key(params: dict[str, Any]) -> None:
    assert not any(name in part.parameters for part in stages_of(params).values() for name in select.parameters)


@given(configurations, configurations)
def test_equal_keys_mean_equal_parts(params: dict[str, Any], other: dict[str, Any]) -> None:
    one, two = keys(params, DOCUMENTS), keys(other, DOCUMENTS)
    for name, part in stages_of(params).items():
        if one[name] == two[name]:
            assert part is stages_of(other)[name]
            assert part.parts(params) == part.parts(other)
