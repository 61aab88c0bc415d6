"""Objects among the choices: the log and the tables name them, the results hold them."""

from __future__ import annotations

import functools
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.node_parser import SentenceSplitter, TextSplitter
from llama_index.core.postprocessor import SimilarityPostprocessor

from raytuner import ParamTuner, RagObjective, RayTuneParamTuner
from raytuner.naming import distinct_names, name_of
from raytuner.progress import Progress
from raytuner.report import as_json, as_text
from raytuner.run_folder import read_run
from raytuner.saved_run import load_study, result_of
from raytuner.space import SearchSpace
from raytuner.study import Study

KEY = "sk-0123456789"


class Paragraphs(TextSplitter):
    """An own splitter, whose repr would show a key."""

    api_key: str = KEY

    def split_text(self, text: str) -> list[str]:
        return [paragraph for paragraph in text.split("\n\n") if paragraph.strip()]


class Plain:
    """An object of which Python shows the place in memory."""


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Plain(), "Plain"),
        (Plain, "Plain"),
        (len, "len"),
        (Paragraphs(), "Paragraphs"),
        (functools.partial(Plain, KEY), "partial"),
        (Path("a/b"), "a/b"),
        (date(2026, 1, 2), "2026-01-02"),
    ],
)
def test_an_object_is_named_by_what_stays_the_same(value: Any, name: str) -> None:
    assert name_of(value) == name


def test_equal_names_are_told_apart_by_their_order() -> None:
    assert distinct_names([Plain(), Paragraphs(), Plain(), Plain()]) == ["Plain", "Paragraphs", "Plain-2", "Plain-3"]


def test_a_space_names_its_objects_only() -> None:
    one, other = Plain(), Plain()
    space = SearchSpace.from_dict({"a": ["text", one, other, None, 3, [1]], "b": {"float": [0, 1]}})
    assert space.names({"a": other, "b": 0.5}) == {"a": "Plain-2"}
    assert [space.names({"a": value}) for value in ("text", None, 3, [1])] == [{}] * 4


CHOICES = {
    "splitter": ["sentence", Paragraphs(), SentenceSplitter(chunk_size=64, chunk_overlap=0), SentenceSplitter()],
    "reranker": [None, SimilarityPostprocessor(similarity_cutoff=3.0)],
}
NAMES = {
    (splitter, reranker)
    for splitter in ("sentence", "Paragraphs", "SentenceSplitter", "SentenceSplitter-2")
    for reranker in (None, "SimilarityPostprocessor")
}


def rag() -> RagObjective:
    return RagObjective("builtin:quickstart", "builtin:quickstart", metric="span_f4", retriever="bm25")


def names_of(params: dict[str, Any]) -> tuple[Any, Any]:
    return params["splitter"], params["reranker"]


def check_shown(text: str) -> None:
    assert "SentenceSplitter-2" in text
    assert KEY not in text
    assert " at 0x" not in text


def test_results_hold_the_objects_and_tables_their_names() -> None:
    result = ParamTuner(param_fn=rag(), param_dict=CHOICES, metric="span_f4").tune()
    assert {names_of(run.shown) for run in result.run_results} == NAMES
    for run in result.run_results:
        assert any(run.params["splitter"] is choice for choice in CHOICES["splitter"])
    assert len({run.score for run in result.run_results}) >= 6
    check_shown(result._repr_html_())
    check_shown(as_text(result, "span_f4", "max"))
    assert names_of(as_json(result)["best"]["params"]) in NAMES


def test_the_table_of_progress_names_them() -> None:
    space = SearchSpace.from_dict(CHOICES)
    study = Study("score", "max", names=space.names)
    study.start(1, {"splitter": CHOICES["splitter"][3]})
    _, [row] = Progress(1)._cells(study)
    assert row[:2] == ["1", "SentenceSplitter-2"]


@pytest.mark.ray
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("local_ray")
def test_a_run_on_ray_is_read_back_by_its_names(tmp_path: Path) -> None:
    objective = rag()
    tuner = RayTuneParamTuner(param_fn=objective, param_dict=CHOICES, metric="span_f4", storage_path=tmp_path)
    result = tuner.tune()
    assert not result.failed
    for run in result.run_results:
        assert run.score == objective(run.params).score  # the worker had the same object
    folder = Path(result.run or "")
    study = load_study(folder)
    again = result_of(study, read_run(folder))
    assert {names_of(run.params) for run in again.run_results} == NAMES
    assert [(run.trial, run.params, run.score) for run in again.run_results] == [
        (run.trial, run.shown, run.score) for run in result.run_results
    ]
    check_shown("".join(path.read_text() for path in folder.iterdir()))
    check_shown(again._repr_html_())
    later = tuner.tune()  # objects of the same classes have the same names in the next run
    assert {run.trial: run.shown for run in later.run_results} == {run.trial: run.shown for run in result.run_results}
