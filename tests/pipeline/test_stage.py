"""Stages and the chain of their keys."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raytuner import models
from raytuner.components import Component
from raytuner.documents.document import Document
from raytuner.pipeline import parameters as stages
from raytuner.pipeline.pipeline import Pipeline
from raytuner.pipeline.splitters import SPLITTERS
from raytuner.pipeline.stage import Stage, digest, stage

UPSTREAM = {
    **dict.fromkeys(SPLITTERS, ()),
    "embed_chunks": ("sentence",),
    "vector_search": ("embed_chunks",),
    "bm25_index": ("sentence",),
    "bm25_search": ("bm25_index",),
    "fuse": ("vector_search", "bm25_search"),
    "rerank": ("fuse",),
    "extract": (),
    "generate": (),
}
BY_NAME = {part.name: part for part in stages.STAGES}
VALUES: dict[str, list[Any]] = {
    "splitter": ["sentence", "whole"],
    "chunk_size": [64, 512],
    "chunk_overlap": [0.0, 0.5],
    "window_size": [1, 3],
    "breakpoint_percentile": [90, 95],
    "embedding": ["minilm", "wordllama", "openai:any"],
    "long_text": ["windows", "truncate"],
    "retriever": ["vector", "bm25", "hybrid"],
    "bm25_k1": [1.2, 1.5],
    "bm25_b": [0.5, 0.75],
    "fusion": ["reciprocal_rank", "weighted"],
    "fusion_weight": [0.25, 0.5],
    "fusion_depth": [20, 100],
    "reranker": [None, Component("one", "some.module.One", version="1")],
    "rerank_depth": [10, 20],
    "top_k": [1, 3],
    "similarity_cutoff": [None, 0.5],
    "llm": ["mock", "openai:any"],
    "prompt": [None, "{context_str} {query_str}"],
    "response_mode": ["compact", "refine"],
    "temperature": [0.0, 1.0],
    "answer_tokens": [50, 100],
}
configurations = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in VALUES.items()})


def keys(params: Mapping[str, Any], fingerprint: str = "documents") -> dict[str, str]:
    """The key of every stage that has an artefact."""
    found: dict[str, str] = {}
    for name, above in UPSTREAM.items():
        found[name] = BY_NAME[name].key(params, *([found[other] for other in above] or [fingerprint]))
    return found


def reaches(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Every parameter on which a stage's artefact depends."""
    own = BY_NAME[name].own(params)
    return own | {key: value for above in UPSTREAM[name] for key, value in reaches(above, params).items()}


def downstream(changed: set[str]) -> set[str]:
    return changed | {name for name, above in UPSTREAM.items() if downstream_of(name) & changed}


def downstream_of(name: str) -> set[str]:
    return {other for above in UPSTREAM[name] for other in (above, *downstream_of(above))}


def test_the_tables_above_are_complete() -> None:
    assert set(VALUES) == set(stages.parameters())
    assert set(UPSTREAM) == set(BY_NAME) - {"choose", "custom", "expand", "route", "select"}


@given(configurations, configurations)
def test_keys_are_equal_exactly_where_all_parameters_above_are(one: dict[str, Any], other: dict[str, Any]) -> None:
    ours, theirs = keys(one), keys(other)
    for name in UPSTREAM:
        assert (ours[name] == theirs[name]) == (reaches(name, one) == reaches(name, other)), name
    assert len(set(ours.values())) == len(ours)


@pytest.mark.parametrize("name", sorted(VALUES))
@settings(max_examples=20)
@given(base=configurations, data=st.data())
def test_one_parameter_changes_the_keys_downstream_of_it(name: str, base: dict[str, Any], data: st.DataObject) -> None:
    value = data.draw(st.sampled_from([value for value in VALUES[name] if value != base[name]]))
    before, after = keys(base), keys({**base, name: value})
    owners = {part for part in UPSTREAM if name in BY_NAME[part].parameters}
    assert {part for part in before if before[part] != after[part]} == downstream(owners)


def test_top_k_and_cutoff_change_no_key() -> None:
    assert keys({}) == keys({"top_k": 17, "similarity_cutoff": 0.3, "retriever": "hybrid"})


def test_defaults_need_not_be_written() -> None:
    assert keys({}) == keys(stages.defaults())


@pytest.mark.parametrize(
    "other",
    [
        [Document("a", "text!"), Document("b", "more")],
        [Document("c", "text"), Document("b", "more")],
        [Document("b", "more"), Document("a", "text")],
        [Document("a", "text")],
        [Document("atext", ""), Document("b", "more")],
    ],
)
def test_a_text_or_an_id_changes_the_first_key(other: list[Document]) -> None:
    documents = [Document("a", "text"), Document("b", "more")]
    assert Pipeline(documents).split_key({}) == Pipeline(list(documents)).split_key({})
    assert Pipeline(documents).split_key({}) != Pipeline(other).split_key({})


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("embedding_identity", {"semantic", "embed_chunks", "vector_search", "fuse", "rerank", "extract"}),
        ("llm_identity", {"generate"}),
    ],
)
def test_a_model_is_known_by_its_identity(monkeypatch: pytest.MonkeyPatch, kind: str, changed: set[str]) -> None:
    before = keys({"llm": "mock"})
    monkeypatch.setattr(models, kind, lambda *_: "other weights")
    after = keys({"llm": "mock"})
    assert {name for name in before if before[name] != after[name]} == changed


def test_a_library_of_another_version_changes_the_keys_of_the_stages_that_it_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {part.name: part.key({}, "up") for part in stages.STAGES}
    monkeypatch.setattr("raytuner.pipeline.stage.installed_version", lambda package: f"{package} of tomorrow")
    changed = {part.name for part in stages.STAGES if part.key({}, "up") != before[part.name]}
    splitters = {"sentence", "token", "markdown", "recursive", "sentence_window", "semantic", "custom"}
    assert changed == {*splitters, "bm25_index", "bm25_search", "generate"}


def test_keys_are_the_same_in_another_process() -> None:
    params = {"embedding": "wordllama", "chunk_size": 64, "llm": "mock", "prompt": "ü {context_str} {query_str}"}
    code = (
        "import json\n"
        "from raytuner.pipeline.pipeline import Pipeline; from raytuner.pipeline.parameters import STAGES\n"
        "from raytuner.documents.document import Document\n"
        f"params = {params!r}\n"
        "print(json.dumps([Pipeline([Document('é', '漢')]).split_key(params)]"
        " + [s.key(params, 'up') for s in STAGES]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    here = [Pipeline([Document("é", "漢")]).split_key(params)]
    assert json.loads(done.stdout) == here + [part.key(params, "up") for part in stages.STAGES]


def test_the_schema_is_the_keyword_only_parameters() -> None:
    @stage(version=1)
    def cut(text: str, *, length: int = 2, mark: str = "") -> str:
        return text[:length] + mark

    assert list(cut.parameters) == ["length", "mark"]
    assert cut.parameters["length"].annotation is int
    assert cut({"mark": "!", "text": "never", "other": 1}, "abc") == "ab!"
    assert cut.own({"mark": "!", "other": 1}) == {"length": 2, "mark": "!"}
    assert cut.key({"other": 1}) == cut.key({})


def test_name_version_and_upstream_are_in_the_key() -> None:
    def run(*, a: int = 1) -> int:
        return a

    base = Stage("one", 1, run).key({}, "x")
    assert len({base, Stage("two", 1, run).key({}, "x"), Stage("one", 2, run).key({}, "x")}) == 3
    assert len({base, Stage("one", 1, run).key({}), Stage("one", 1, run).key({}, "y")}) == 3
    assert Stage("one", 1, run).key({}, "x", "y") != Stage("one", 1, run).key({}, "y", "x")


def test_shared_parameters_agree() -> None:
    for name in stages.parameters():
        shared = [part.parameters[name] for part in stages.STAGES if name in part.parameters]
        assert len({(repr(parameter.default), repr(parameter.annotation)) for parameter in shared}) == 1, name


def test_every_default_is_allowed() -> None:
    stages.check(stages.defaults())


def test_digest_does_not_depend_on_the_order() -> None:
    assert digest({"a": 1, "b": [{"x": 1, "y": "é"}]}) == digest({"b": [{"y": "é", "x": 1}], "a": 1})
    assert digest(["a", "b"]) != digest(["b", "a"])
    assert digest(["ab", "c"]) != digest(["a", "bc"])
    assert len(digest("\ud800")) == 32


def test_digest_refuses_what_is_no_json() -> None:
    for value in (float("nan"), {1, 2}, object()):
        with pytest.raises((ValueError, TypeError)):
            digest(value)
