"""Stages and their keys; the chain of these is tested in `test_key_properties`."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from raytuner.documents.document import Document
from raytuner.pipeline import parameters as stages
from raytuner.pipeline.pipeline import Pipeline
from raytuner.pipeline.stage import Stage, digest, stage


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


def test_a_library_of_another_version_changes_the_keys_of_the_stages_that_it_decides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {part.name: part.key({}, "up") for part in stages.STAGES}
    monkeypatch.setattr("raytuner.pipeline.stage.installed_version", lambda package: f"{package} of tomorrow")
    changed = {part.name for part in stages.STAGES if part.key({}, "up") != before[part.name]}
    splitters = {"sentence", "token", "markdown", "recursive", "sentence_window", "semantic", "custom"}
    assert changed == {*splitters, "bm25_index", "bm25_search", "rerank", "extract", "generate"}


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
