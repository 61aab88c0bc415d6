"""A change of anything changes exactly the keys downstream of it, of those that the pipeline asks the cache for."""

from __future__ import annotations

import os
import tempfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from key_cases import (
    CASES,
    CHANGES,
    COMPONENT,
    DOCUMENT,
    MODEL,
    OTHER_DOCUMENT,
    OWN,
    PARAMS,
    PARTS,
    QUESTIONS,
    Case,
    Found,
    Recorder,
    Shuffled,
    changed,
    differing,
    found_by,
    keys_of,
    of,
)

from raytuner.components import Component, component
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.models import ModelSpec
from raytuner.pipeline import cache
from raytuner.pipeline import parameters as stages
from raytuner.pipeline.cache import StageCache
from raytuner.pipeline.generate import EXTRACTIVE
from raytuner.pipeline.pipeline import Pipeline
from raytuner.pipeline.retrieve import MIN_DEPTH
from raytuner.pipeline.splitters import SPLITTERS


def test_the_tables_above_are_complete() -> None:
    assert set(PARAMS) == set(stages.parameters())
    no_result = {"retries", "concurrency", "requests_per_minute", "tokens_per_minute", "price", "batch"}
    assert set(MODEL) | {"component", "others"} | no_result == {part.name for part in fields(ModelSpec)}
    assert set(COMPONENT) | {"instance"} == {part.name for part in fields(Component)}
    assert set(DOCUMENT) == {part.name for part in fields(Document)}


@pytest.mark.parametrize("change", CHANGES)
@settings(max_examples=15, deadline=None)
@given(case=CASES, data=st.data())
def test_a_change_changes_exactly_the_keys_of_what_is_made_of_it(change: str, case: Case, data: st.DataObject) -> None:
    before, after = changed(data, case, change)
    (keys, parts), (new_keys, new_parts) = keys_of(before), keys_of(after)
    assert differing(keys, new_keys) == differing(parts, new_parts)


@settings(max_examples=60, deadline=None)
@given(one=CASES, other=CASES)
def test_keys_of_any_two_cases_are_equal_exactly_where_all_is_equal_that_they_are_made_of(
    one: Case, other: Case
) -> None:
    (keys, parts), (other_keys, other_parts) = keys_of(one), keys_of(other)
    assert differing(keys, other_keys) == differing(parts, other_parts)


@settings(max_examples=150, deadline=None)
@given(case=CASES, change=st.sampled_from(CHANGES), data=st.data())
def test_what_is_kept_of_one_case_never_changes_what_comes_of_another(
    case: Case, change: str, data: st.DataObject
) -> None:
    before, after = changed(data, case, change)
    recorder = Recorder()
    found_by(before, recorder)
    assert found_by(after, recorder) == found_by(after, Recorder())


@settings(max_examples=40, deadline=None)
@given(case=CASES)
def test_questions_together_ask_for_what_each_asks_for_alone(case: Case) -> None:
    together, alone = Recorder(), Recorder()
    found = found_by(case, together, *QUESTIONS)
    apart = [found_by(replace(case, question=question), alone) for question in QUESTIONS]
    assert together.asked == alone.asked
    assert found == Found(*([own for (own,) in part] for part in zip(*apart, strict=True)))


@settings(max_examples=40, deadline=None)
@given(case=CASES, data=st.data())
def test_the_cut_is_in_no_key_of_a_ranking(case: Case, data: st.DataObject) -> None:
    top_k, cutoff = data.draw(st.integers(1, MIN_DEPTH)), data.draw(st.floats(-1, 1))
    one = replace(case, params={**case.params, "top_k": 3})
    other = replace(case, params={**case.params, "top_k": top_k, "similarity_cutoff": cutoff})
    assert differing(keys_of(one)[0], keys_of(other)[0]) <= {"extract", "generate", "embed_text", "embed_query"}


@pytest.mark.parametrize("retriever", ["vector", component(Shuffled)], ids=str)
def test_the_depth_of_no_reranker_is_in_no_key(retriever: Any) -> None:
    params = {**stages.defaults(), "retriever": retriever}
    case = Case(params, OTHER_DOCUMENT, (), QUESTIONS[0], False, "this")
    deeper = replace(case, params={**params, "rerank_depth": MIN_DEPTH + 1})
    assert keys_of(case)[0] == keys_of(deeper)[0]


@pytest.mark.parametrize("llm", [EXTRACTIVE, "mock"])
def test_another_chunk_size_changes_the_key_of_an_answer_only_if_the_contexts_differ(llm: str) -> None:
    short, *_, long = DOCUMENT["text"]
    answered = "extract" if llm == EXTRACTIVE else "generate"

    def asked(text: str, chunk_size: int) -> tuple[frozenset[str], frozenset[str]]:
        params = {**stages.defaults(), "chunk_size": chunk_size, "llm": llm}
        keys, _ = keys_of(Case(params, Document("a", text), (), QUESTIONS[0], False, "this"))
        return keys["split"], keys[answered]

    (split, answer), (other_split, same_answer) = asked(short, 20), asked(short, 200)
    assert split != other_split
    assert answer == same_answer
    assert len({asked(long, size)[1] for size in (10, 20, 200)}) > 1


def test_parameters_need_not_be_written() -> None:
    bare, written = Recorder(), Recorder()
    for recorder, params in ((bare, {}), (written, stages.defaults())):
        found_by(Case(params, OTHER_DOCUMENT, (), QUESTIONS[0], False, "this"), recorder)
    assert bare.asked == written.asked


@pytest.mark.parametrize(
    ("constant", "parameter", "model"),
    [("_EMBEDDING_VERSION", "embedding", "wordllama"), ("_MOCK_VERSION", "llm", "mock")],
)
@settings(max_examples=20, deadline=None)
@given(case=CASES)
def test_a_model_that_gives_something_else_changes_the_keys_of_all_that_it_makes(
    constant: str, parameter: str, model: str, case: Case
) -> None:
    case = replace(case, params={**case.params, parameter: model})
    before, parts = keys_of(case)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"raytuner.models.factory.{constant}", 1000)
        after, _ = keys_of(case)
    made = {name for name, own in parts.items() if parameter in own}
    assert differing(before, after) - {"embed_text", "embed_query"} == made


def test_code_without_a_version_is_of_one_search() -> None:
    """The others are not: else nothing would be shared."""
    for name in ("splitter", "embedding", "retriever", "reranker", "llm"):
        kind, values = PARTS[name]
        for version in ("", "1"):
            own = kind("own", values["path"][0] if kind is Component else OWN.model, version=version)
            params = {**stages.defaults(), "retriever": "vector", "llm": "mock", name: own}
            case = Case(params, OTHER_DOCUMENT, (), QUESTIONS[0], False, "this")
            (keys, parts), (next_keys, _) = keys_of(case), keys_of(replace(case, search="next"))
            made = {part for part, own in parts.items() if name in own}
            assert made
            assert differing(keys, next_keys) - {"embed_text", "embed_query"} == (set() if version else made)


SPLIT_AT_ONCE = sorted({*SPLITTERS} - {"semantic"})  # which embeds as well
SENTENCES = [f"Sentence {number} is about the {what}." for number, what in enumerate(["moon", "sea", "sun", "ice"] * 3)]
TEXTS = st.lists(st.sampled_from(SENTENCES), min_size=1, max_size=8).map(" ".join)


@settings(max_examples=40, deadline=None)
@given(
    texts=st.lists(TEXTS, min_size=1, max_size=4),
    changed=TEXTS,
    at=st.integers(0, 3),
    splitter=st.sampled_from(SPLIT_AT_ONCE),
    chunk_size=st.sampled_from([10, 20]),
)
def test_of_a_changed_document_only_the_texts_that_are_new_are_embedded(
    texts: list[str], changed: str, at: int, splitter: str, chunk_size: int
) -> None:
    params = {**stages.defaults(), "splitter": splitter, "chunk_size": chunk_size, "chunk_overlap": 0, "llm": "mock"}
    recorder = Recorder()

    def chunks_of(texts: list[str]) -> set[str]:
        first, *others = (Document(str(number), text) for number, text in enumerate(texts))
        recorder.given.clear()
        case = Case(params, first, tuple(others), QUESTIONS[0], False, "this")
        found_by(case, recorder)
        return {chunk.text for chunk in Pipeline(case.collection, StageCache()).chunks(params)}

    before = chunks_of(texts)
    assert sorted(recorder.given["embed_text"]) == sorted(before)
    after = chunks_of([*texts[: at % len(texts)], changed, *texts[at % len(texts) + 1 :]])
    assert sorted(recorder.given["embed_text"]) == sorted(after - before)


class Page(NamedTuple):
    """A file of a format that is kept, and how it is read."""

    content: bytes
    name: str
    modified: int
    encoding: str


PAGES: dict[str, list[Any]] = {
    "content": [b"<p>caf\xe9", b"<p>caf\xe8", b"<p>cafe", b"<p>cafe "],
    "name": ["a.html", "b.htm", "below/a.html", "below/a.HTML"],
    "modified": [10**9, 2 * 10**9],
    "encoding": ["cp1252", "iso8859-7"],
}


@settings(max_examples=60, deadline=None)
@given(one=of(Page, PAGES), other=of(Page, PAGES))
def test_what_is_read_is_known_by_the_bytes_of_the_file_and_its_encoding(one: Page, other: Page) -> None:
    def asked(page: Page) -> tuple[str, str]:
        recorder = Recorder()
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            patch.setattr(cache, "_shared", lambda *_: recorder)
            path = Path(folder, page.name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(page.content)
            os.utime(path, (page.modified, page.modified))
            (document,) = load_documents(path, encoding=page.encoding)
        ((stage, keys),) = recorder.asked.items()
        assert stage == "load"
        (key,) = keys
        return key, document.text

    (key, text), (other_key, other_text) = asked(one), asked(other)
    assert (key == other_key) == ((one.content, one.encoding) == (other.content, other.encoding))
    assert key != other_key or text == other_text
