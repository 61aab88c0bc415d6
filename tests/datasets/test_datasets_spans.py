"""Question sets fitted to their documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from raytuner.datasets import Question, Reference, fit, load
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.errors import DataError

CAT = Document("pets/cat.md", "The cat sat.")
DOG = Document("pets/dog.md", "The dog ran.")
BIRD = Document("wild/dog.md", "The dog flew.")
GOOD = {"start_index": 4, "end_index": 7, "content": "cat", "document": "cat"}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def writer(*rows: object) -> Path:
        path = tmp_path / "questions.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return writer


def ask(*references: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"question": "Who?", "references": list(references), **more}


def test_chroma_spans_all_match(data_dir: Path) -> None:
    folder = data_dir / "chroma-chunking"
    questions = load(folder / "questions.csv", documents=load_documents(folder / "corpora"))
    assert (len(questions), questions.dropped) == (317, 0)
    assert {r.document for q in questions for r in q.references} == {
        "finance.md",
        "state_of_the_union.md",
        "wikitexts.md",
    }


def test_quickstart_spans_all_match() -> None:
    questions = load("builtin:quickstart", documents=load_documents("builtin:quickstart"))
    assert len(questions) >= 40
    assert questions.dropped == 0
    assert all(question.answer and question.references for question in questions)


@pytest.mark.parametrize("name", ["pets/cat.md", "cat.md", "pets/cat", "cat"])
def test_names_of_a_document(write: Any, name: str) -> None:
    path = write(ask(GOOD | {"document": name}), {"question": "Which?", "documents": [name, "cat.md"]})
    spans, ids = load(path, documents=[CAT, DOG])
    assert spans.references == (Reference("pets/cat.md", 4, 7, "cat"),)
    assert ids.documents == ("pets/cat.md",)


def test_a_single_document_need_not_be_named(write: Any) -> None:
    path = write(ask({"start_index": 4, "end_index": 7}))
    (question,) = load(path, documents=[CAT])
    assert question.references == (Reference("pets/cat.md", 4, 7),)
    with pytest.raises(
        DataError, match=r"question 'q1' does not name its document; there are: pets/cat.md, pets/dog.md"
    ):
        load(path, documents=[CAT, DOG])


def test_unknown_and_ambiguous_documents(write: Any) -> None:
    path = write(ask(GOOD | {"document": "cow.md"}, id="x"))
    with pytest.raises(
        DataError, match=r"question 'x' names 'cow.md', which is none of the documents; there are: pets/"
    ):
        load(path, documents=[CAT, DOG])
    many = [Document(f"{i}.md", "text") for i in range(9)]
    with pytest.raises(DataError, match=r"0.md, 1.md, 2.md, 3.md, 4.md, ... \(9 in all\)$"):
        load(path, documents=many, on_bad_span="drop")
    path = write({"question": "Who?", "document": "dog.md"})
    with pytest.raises(DataError, match=r"the name of 2 documents; there are: pets/dog.md, wild/dog.md"):
        load(path, documents=[CAT, DOG, BIRD])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"start_index": 7}, "cat.md 7:7 is empty"),
        ({"start_index": 9}, "cat.md 9:7 is empty"),
        ({"start_index": -3}, "cat.md -3:7 starts before the document"),
        ({"end_index": 13}, "cat.md 4:13 ends after the document's 12 characters"),
        ({"content": "dog"}, "cat.md 4:7 is 'cat', not 'dog'"),
        ({"content": "line\nline"}, r"cat.md 4:7 is 'cat', not 'line\\nline'"),
    ],
)
def test_bad_spans(write: Any, change: dict[str, Any], fault: str) -> None:
    path = write(ask(GOOD), ask(GOOD | change, id="bad"))
    with pytest.raises(DataError) as caught:
        load(path, documents=[CAT, DOG])
    message = str(caught.value)
    assert message.startswith(f"{path}: 1 of 2 reference spans")
    assert "question 'bad' pets/" + fault.replace("\\\\", "\\") in message
    assert f"`questions: {{path: {path}, on_bad_span: drop}}`" in message
    assert "\n" not in message


def test_only_the_first_three_bad_spans_are_shown(write: Any) -> None:
    path = write(*(ask(GOOD | {"content": f"c{i}"}) for i in range(5)))
    with pytest.raises(DataError, match=r"5 of 5 .*'c0'.*'c1'.*'c2'; ...;") as caught:
        load(path, documents=[CAT])
    assert "c3" not in str(caught.value)


def test_bad_spans_can_be_dropped(write: Any) -> None:
    bad = GOOD | {"content": "dog"}
    path = write(ask(GOOD, bad, id="some"), ask(bad, id="all"), {"id": "none", "question": "Why?", "answer": "So."})
    questions = load(path, documents=[CAT, DOG], on_bad_span="drop")
    assert [question.id for question in questions] == ["some", "none"]
    assert questions.questions[0].references == (Reference("pets/cat.md", 4, 7, "cat"),)
    assert questions.dropped == 2


def test_dropping_everything_is_an_error(write: Any) -> None:
    with pytest.raises(DataError, match=r"no question is left: all 1 reference spans are bad.*'cat', not 'dog'"):
        load(write(ask(GOOD | {"content": "dog"})), documents=[CAT], on_bad_span="drop")


def test_offsets_count_characters_of_the_decoded_text(tmp_path: Path, write: Any) -> None:
    (tmp_path / "a.md").write_bytes("\ufeffWeiß\r\n猫 sat.".encode())
    path = write(ask({"start_index": 6, "end_index": 7, "content": "猫"}))
    assert load(path, documents=load_documents(tmp_path / "a.md")).dropped == 0


def test_questions_made_in_python_fit_too() -> None:
    made = [Question("a", "Who?", references=(Reference("cat", 4, 7),))]
    fitted = fit(made, [CAT, DOG])
    assert fitted.questions[0].references == (Reference("pets/cat.md", 4, 7),)
    assert fit(fitted, [CAT, DOG]) == fitted
    with pytest.raises(DataError, match="'cat', which is none of the documents"):
        fit(made, [DOG])


def test_questions_made_in_python_have_ids_of_their_own() -> None:
    with pytest.raises(DataError, match="questions: 2 questions have the id 'a'; make it unique"):
        fit([Question("a", "Who?"), Question("b", "When?"), Question("a", "Why?")], [CAT])
