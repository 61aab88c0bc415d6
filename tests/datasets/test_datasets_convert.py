"""Question sets from one form into another."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raytuner.datasets import Question, QuestionSet, Reference, convert, load
from raytuner.datasets.convert import _WRITERS, SUFFIXES
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.errors import ConfigError, DataError, UserError

LOSSLESS = ("jsonl", "csv", "parquet")
DOCUMENTS = [Document("a", "One two. Three."), Document("b", "Four.")]

# What a file can hold: text that is not blank, in characters that UTF-8 has and the csv module of Python 3.10 reads.
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12).filter(
    str.strip
)
UNIQUE = st.lists(TEXT, max_size=3, unique=True).map(tuple)
OFFSET = st.integers(0, 10**6)
REFERENCE = st.one_of(
    st.builds(Reference, TEXT | st.just(""), OFFSET, OFFSET, st.none() | TEXT, st.integers(0, 3)),
    st.builds(Reference, TEXT | st.just(""), st.none(), st.none(), TEXT, st.integers(0, 3)),
)
REFERENCES = st.lists(REFERENCE, min_size=1, max_size=3).map(tuple)


@st.composite
def questions(draw: st.DrawFn) -> QuestionSet:
    made = []
    for name in draw(st.lists(TEXT, min_size=1, max_size=4, unique=True)):
        text, documents = draw(TEXT), draw(UNIQUE)
        if draw(st.integers(0, 4)) == 0:
            made.append(Question(name, text, "", documents=documents, answerable=False))
            continue
        answers = draw(UNIQUE)
        known = {"answer": answers[0] if answers else None, "other_answers": answers[1:]}
        where = {"references": draw(REFERENCES)} if draw(st.booleans()) else {"documents": documents}
        made.append(Question(name, text, **known, **where))
    return QuestionSet(tuple(made))


@pytest.mark.parametrize("form", LOSSLESS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(expected=questions())
def test_nothing_is_lost(form: str, expected: QuestionSet) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "questions"
        path.write_bytes(_WRITERS[form](expected.questions, {}))
        assert load(path) == expected


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
@pytest.mark.parametrize(
    "name", ["xquad/xquad.zh.json", "autorag-sample/qa.parquet", "llama2/llama2_eval_qr_dataset.json"]
)
def test_real_sets_load_equal(data_dir: Path, tmp_path: Path, name: str, suffix: str) -> None:
    source, target = tmp_path / Path(name).name, tmp_path / f"out{suffix}"
    source.write_bytes((data_dir / name).read_bytes())
    expected = load(source)
    assert convert(source, target) == len(expected)
    assert load(target) == expected


def test_labelled_rag_of_chroma(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "chroma-chunking"
    documents = load_documents(folder / "corpora")
    target = tmp_path / "rag_dataset.json"
    assert convert(folder / "questions.csv", target, documents=str(folder / "corpora")) == 317
    assert load(target, documents=documents) == load(folder / "questions.csv", documents=documents)
    example = json.loads(target.read_text(encoding="utf-8"))["examples"][0]
    assert list(example) == ["query", "query_by", "reference_contexts", "reference_answer", "reference_answer_by"]


def test_labelled_rag_of_answers_alone(data_dir: Path, tmp_path: Path) -> None:
    golden = load(data_dir / "llama2" / "llama2_eval_qr_dataset.json")
    convert(data_dir / "llama2" / "llama2_eval_qr_dataset.json", tmp_path / "out.json")
    assert [(q.text, q.answer) for q in load(tmp_path / "out.json")] == [(q.text, q.answer) for q in golden]


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "in.jsonl"
    path.write_text("".join(json.dumps({"question": "Who?", **row}) + "\n" for row in rows), encoding="utf-8")
    return path


def test_documents_fill_in_texts_and_places(tmp_path: Path) -> None:
    source = write(tmp_path, {"document": "a", "start_index": 0, "end_index": 3}, {"reference_contexts": ["One  two."]})
    convert(source, tmp_path / "out.csv", documents=DOCUMENTS)
    first, second = load(tmp_path / "out.csv")
    assert first.references == (Reference("a", 0, 3, "One"),)
    assert second.references == (Reference("a", 0, 8, "One two."),)


def test_documents_are_passages_of_labelled_rag(tmp_path: Path) -> None:
    source = write(tmp_path, {"documents": ["a", "b"]})
    convert(source, tmp_path / "out.json", documents=DOCUMENTS)
    (question,) = load(tmp_path / "out.json", documents=DOCUMENTS)
    assert question.references == (Reference("a", 0, 15, "One two. Three."), Reference("b", 0, 5, "Four."))


def test_what_labelled_rag_cannot_hold_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spans = [
        {"content": "One", "start_index": 0, "end_index": 3, "alternative": 1},
        {"content": "two", "start_index": 4, "end_index": 7, "alternative": 2},
    ]
    rows = [{"references": spans}, {"answer": "y", "other_answers": ["x"]}, {"answerable": False}, {"answer": "x"}]
    convert(write(tmp_path, *rows), tmp_path / "out.json")
    assert "3 questions lose them" in caplog.text
    assert [[r.text for r in q.references] for q in load(tmp_path / "out.json")] == [["One"], [], [], []]


def test_the_form_is_said_or_the_suffix_says_it(tmp_path: Path) -> None:
    source = write(tmp_path, {"answer": "Me."})
    convert(source, tmp_path / "out.CSV")
    assert (tmp_path / "out.CSV").read_text().startswith('"id","question","answer",')
    convert(source, tmp_path / "out.txt", form="labelled-rag")
    assert '"examples"' in (tmp_path / "out.txt").read_text()
    assert {*SUFFIXES.values(), "query-response"} == set(_WRITERS) == {*LOSSLESS, "labelled-rag", "query-response"}
    convert(source, tmp_path / "qr.json", form="query-response")
    assert len(json.loads((tmp_path / "qr.json").read_text())["queries"]) == 1


@pytest.mark.parametrize(
    ("target", "options", "kind", "words"),
    [
        ("out.xml", {}, ConfigError, r"out.xml: no form has the suffix '.xml'; use .jsonl, .csv, .parquet, .json"),
        ("out.csv", {"form": "jsonn"}, ConfigError, "unknown form 'jsonn'; did you mean 'jsonl'"),
        ("in.jsonl", {}, DataError, "in.jsonl: the file exists; name another, or replace it with --force"),
        ("none/out.csv", {}, DataError, "out.csv: No such file or directory; name a file that can be written"),
        ("out.json", {}, DataError, "'q1' names a reference without its text; give --documents"),
        ("out.csv", {"documents": [DOCUMENTS[1]]}, DataError, "'a', which is none of the documents"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, target: str, options: dict[str, Any], kind: type[UserError], words: str
) -> None:
    source = write(tmp_path, {"document": "a"})
    before = source.read_bytes()
    with pytest.raises(kind, match=words):
        convert(source, tmp_path / target, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]
    assert source.read_bytes() == before


def test_an_existing_file_is_replaced_on_request(tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("old")
    assert convert(write(tmp_path, {"answer": "Me."}), tmp_path / "out.csv", force=True) == 1
    assert len(load(tmp_path / "out.csv")) == 1
