"""References that are known by their text alone."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytuner.datasets import Question, QuestionSet, Reference, fit, load
from raytuner.datasets.locate import Locator
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.errors import DataError

DOCUMENTS = [Document("a", "One two.\n\nThree  four."), Document("b", "Zero.\tOne two.")]
WORDS = st.text("ab. \n\u3000猫", max_size=30)


@pytest.mark.parametrize(
    ("passage", "likely", "expected"),
    [
        ("One two.", "", ("a", 0, 8)),
        ("One two.", "b", ("b", 6, 14)),
        ("One two.", "none", ("a", 0, 8)),
        ("Zero.", "a", ("b", 0, 5)),
        (" two. Three four ", "", ("a", 4, 21)),
        ("Zero. One", "", ("b", 0, 9)),
        ("two.Three", "", None),
        ("  \n", "", None),
        ("five", "", None),
    ],
)
def test_places(passage: str, likely: str, expected: Any) -> None:
    locator = Locator({document.id: document.text for document in DOCUMENTS})
    assert locator.find(passage, likely) == expected


def test_an_exact_place_comes_before_one_but_for_white_space() -> None:
    assert Locator({"a": "x  y", "b": "x y"}).find("x y") == ("b", 0, 3)
    assert Locator({"a": "x  y", "b": "x y"}).find("x y", "a") == ("a", 0, 4)


@given(text=WORDS, start=st.integers(0, 30), length=st.integers(1, 30), space=st.sampled_from([" ", "\n\t", "\u3000"]))
def test_every_passage_is_found_whatever_its_white_space(text: str, start: int, length: int, space: str) -> None:
    passage = text[start : start + length].strip()
    found = Locator({"a": text}).find(re.sub(r"\s+", space, passage))
    if not passage:
        assert found is None
    else:
        assert found is not None
        assert text[found[1] : found[2]].split() == passage.split()


def rag_set(questions: QuestionSet, change: Any) -> str:
    return json.dumps(
        {
            "examples": [
                {"query": q.text, "reference_contexts": [change(r.text) for r in q.references], "reference_answer": ""}
                for q in questions
            ]
        }
    )


def test_the_references_of_chroma_are_located(data_dir: Path, tmp_path: Path) -> None:
    folder = data_dir / "chroma-chunking"
    documents = load_documents(folder / "corpora")
    expected = load(folder / "questions.csv", documents=documents)
    (tmp_path / "same.json").write_text(rag_set(expected, str))
    (tmp_path / "changed.json").write_text(rag_set(expected, lambda text: re.sub(r"\s+", " \n", text)))
    assert load(tmp_path / "same.json", documents=documents) == expected
    begun = time.process_time()
    changed = load(tmp_path / "changed.json", documents=documents)
    assert time.process_time() - begun < 20
    assert changed.missed == 0
    for ours, theirs in zip(changed, expected, strict=True):
        for found, reference in zip(ours.references, theirs.references, strict=True):
            # White space at the ends of a passage is all that may be left out.
            assert (found.document, (found.text or "").strip()) == (reference.document, (reference.text or "").strip())
            assert (found.start or 0) >= (reference.start or 0)


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("".join(json.dumps({"question": "Who?", **row}) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "row",
    [
        {"references": ["One  two."]},
        {"references": [{"content": "One  two."}]},
        {"references": [{"content": "One  two.", "document": "a", "start_index": None}]},
        {"reference_contexts": ["One  two.", ""]},
        {"reference_contexts": '["One  two."]'},
        {"reference_contexts": ["One  two."], "references": []},
        {"reference_contexts": "One  two."},
        {"references": "One  two."},
        {"references": "", "reference_contexts": "One  two."},
        {"content": "One  two.", "document": "a"},
        {"reference_contexts": ["One  two."], "documents": ["a", "b"]},
    ],
)
def test_ways_to_give_a_passage(tmp_path: Path, row: dict[str, Any]) -> None:
    (question,) = load(write(tmp_path, row), documents=DOCUMENTS)
    assert question.references == (Reference("a", 0, 8, "One two."),)


def test_a_cell_of_csv_is_a_passage_or_a_list(tmp_path: Path) -> None:
    path = tmp_path / "q.csv"
    rows = ('"One two."', '"[1] One two."', '"[""One two.""]"', '"[{""content"": ""One two.""}]"')
    path.write_text("question,references\n" + "".join(f"Who?,{cell}\n" for cell in rows))
    texts = [question.references[0].text for question in load(path)]
    assert texts == ["One two.", "[1] One two.", "One two.", "One two."]


def test_a_passage_of_a_document_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'c', which is none of the documents"):
        load(write(tmp_path, {"references": [{"content": "One", "document": "c"}]}), documents=DOCUMENTS)


def test_misses_are_counted_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"id": f"q{n}", "answer": "So.", "references": ["nowhere", "never"]} for n in range(4)]
    path = write(tmp_path, {"id": "good", "references": ["One", "nowhere"]}, *rows)
    kept = load(path, documents=DOCUMENTS)
    assert kept.missed == 9
    assert [(q.id, q.answer, len(q.references)) for q in kept][:2] == [("good", None, 1), ("q0", "So.", 0)]
    assert len(kept) == 5
    assert f"{path}: 9 references, of 5 questions, are nowhere in the documents" in caplog.text
    assert "(good, q0, q1, ...)" in caplog.text
    assert "q2" not in caplog.text
    dropped = load(path, documents=DOCUMENTS, on_bad_span="drop")
    assert [q.id for q in dropped] == ["good"]
    assert dropped.missed == 9
    assert "4 questions were dropped" in caplog.text


def test_all_missed(tmp_path: Path) -> None:
    path = write(tmp_path, {"references": ["nowhere"]})
    with pytest.raises(DataError, match="no question is left: no reference is in the documents"):
        load(path, documents=DOCUMENTS, on_bad_span="drop")


def test_fitting_again_changes_nothing() -> None:
    fitted = fit([Question("x", "?", references=(Reference("", None, None, "Three four"),))], DOCUMENTS)
    assert fitted.questions[0].references == (Reference("a", 10, 21, "Three  four"),)
    assert fit(fitted, DOCUMENTS) == fitted


def test_a_reference_without_a_place_has_no_span() -> None:
    with pytest.raises(ValueError, match="fit the questions"):
        Reference("a", None, None, "x").span  # noqa: B018
