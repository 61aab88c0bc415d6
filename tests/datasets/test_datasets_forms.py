"""Question sets of other tools: SQuAD, LabelledRagDataset, BEIR, AutoRAG, Parquet; and what is broken in them."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from raytuner.datasets import Question, QuestionSet, Reference, load
from raytuner.documents.document import Document
from raytuner.documents.squad import squad_paragraphs
from raytuner.errors import DataError

CONTEXT = "The cat sat on the mat. It was a grey cat."


def only(questions: QuestionSet) -> Question:
    (question,) = questions
    return question


def save(folder: Path, name: str, value: object) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    path.write_text(text, encoding="utf-8", newline="")
    return path


def squad(*questions: Any, title: str = "Pets", version: str = "v2.0") -> dict[str, Any]:
    return {"version": version, "data": [{"title": title, "paragraphs": [{"context": CONTEXT, "qas": [*questions]}]}]}


def ask(*answers: tuple[str, int], **more: Any) -> dict[str, Any]:
    return {
        "id": "x",
        "question": "Who?",
        "answers": [{"text": text, "answer_start": start} for text, start in answers],
        **more,
    }


# SQuAD


@pytest.mark.parametrize("language", ["en", "zh"])
def test_all_spans_of_xquad_match(data_dir: Path, language: str) -> None:
    path = data_dir / "xquad" / f"xquad.{language}.json"
    paragraphs = dict(squad_paragraphs(json.loads(path.read_text(encoding="utf-8"))))
    documents = [Document(name, paragraph["context"]) for name, paragraph in paragraphs.items()]
    questions = load(path, documents=documents)
    assert (len(questions), questions.dropped, questions.missed, len(documents)) == (1190, 0, 0, 240)
    for question in questions:
        (reference,) = question.references
        start, end = reference.span
        assert paragraphs[reference.document]["context"][start:end] == question.answer == reference.text


def test_several_answers_are_alternatives(tmp_path: Path) -> None:
    path = save(tmp_path, "s.json", squad(ask(("cat", 4), ("The cat", 0), ("cat", 4), ("cat", 38))))
    assert only(load(path)) == Question(
        "x",
        "Who?",
        "cat",
        (
            Reference("Pets/0", 4, 7, "cat", 0),
            Reference("Pets/0", 0, 7, "The cat", 1),
            Reference("Pets/0", 38, 41, "cat", 2),
        ),
        other_answers=("The cat",),
    )
    assert only(load(path, documents=[Document("Pets/0", CONTEXT)])) == only(load(path))


def test_unanswerable_questions_are_kept_as_such(tmp_path: Path) -> None:
    impossible = ask(is_impossible=True, plausible_answers=[{"text": "cat", "answer_start": 4}])
    path = save(tmp_path, "s.json", squad(ask(("cat", 4), is_impossible=False, id="a"), impossible))
    assert load(path).questions[1] == Question("x", "Who?", "", answerable=False)
    assert load(path).questions[0].answerable


def test_questions_of_a_test_set_know_their_paragraph(tmp_path: Path) -> None:
    path = save(tmp_path, "s.json", squad({"id": "x", "question": "Who?"}, ask(id="y"), title=""))
    assert [(q.answer, q.documents, q.answerable) for q in load(path)] == [(None, ("article/0",), True)] * 2


def test_answers_without_a_place_are_located(tmp_path: Path) -> None:
    path = save(tmp_path, "s.json", squad({"question": "Who?", "answers": [{"text": "a  grey cat"}]}))
    question = only(load(path, documents=[Document("other", "a grey cat"), Document("Pets/0", CONTEXT)]))
    assert (question.id, question.references) == ("q1", (Reference("Pets/0", 31, 41, "a grey cat"),))


def test_bad_spans_are_counted_for_each_answer(tmp_path: Path) -> None:
    path = save(tmp_path, "s.json", squad(ask(("cat", 4), ("dog", 4), ("cow", 4), ("cat", 900), ("bat", 4))))
    documents = [Document("Pets/0", CONTEXT)]
    with pytest.raises(
        DataError, match=r"4 of 5 reference spans .*'dog'.*'cow'.*900:903 ends after.*; \.\.\.;"
    ) as error:
        load(path, documents=documents)
    assert "'bat'" not in str(error.value)
    dropped = load(path, documents=documents, on_bad_span="drop")
    assert (dropped.dropped, only(dropped).references) == (4, (Reference("Pets/0", 4, 7, "cat"),))


def changed(path: str, value: Any) -> dict[str, Any]:
    """A SQuAD file with one value replaced; None removes it."""
    whole = squad(ask(("cat", 4), ("cat", 38)))
    *parents, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    target: Any = whole
    for key in parents:
        target = target[key]
    target[last] = value
    return whole


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("data.0", "x", r"data\[0\]: an article of SQuAD is an object, not 'x'"),
        ("data.0.paragraphs", None, r"data\[0\].paragraphs: must be a list, not absent"),
        ("data.0.paragraphs.0", [], r"data\[0\].paragraphs\[0\]: a paragraph of SQuAD is an object, not \[\]"),
        ("data.0.paragraphs.0.context", None, r"data\[0\].paragraphs\[0\].context: must be .* text, not absent"),
        ("data.0.paragraphs.0.qas", {}, r"paragraphs\[0\].qas: must be a list of questions, not {}"),
        ("data.0.paragraphs.0.qas.0", 7, r"data\[0\].paragraphs\[0\].qas\[0\]: a question of SQuAD is an object"),
        ("data.0.paragraphs.0.qas.0.question", "", r"data\[0\].paragraphs\[0\].qas\[0\]: the question is empty"),
        ("data.0.paragraphs.0.qas.0.answers", {"text": ["cat"]}, r"qas\[0\].answers: must be a list, not {'text'"),
        ("data.0.paragraphs.0.qas.0.answers.1", "cat", r"qas\[0\].answers\[1\]: an answer of SQuAD is an object"),
        ("data.0.paragraphs.0.qas.0.answers.1.text", None, r"answers\[1\].text: must be the answer's text, not absent"),
        ("data.0.paragraphs.0.qas.0.answers.0.answer_start", "4", r"answers\[0\].answer_start: .*whole number.*'4'"),
    ],
)
def test_broken_squad(tmp_path: Path, path: str, value: Any, words: str) -> None:
    file = save(tmp_path, "s.json", changed(path, value))
    with pytest.raises(DataError, match=words) as error:
        load(file)
    assert str(error.value).startswith(f"{file}: data[0]")
    assert "\n" not in str(error.value)


def test_repeated_ids_in_squad(tmp_path: Path) -> None:
    path = save(tmp_path, "s.json", squad(ask(("cat", 4)), ask(("cat", 38))))
    with pytest.raises(DataError, match=r"qas\[1\]: question id 'x' is taken, see data\[0\].paragraphs\[0\].qas\[0\]"):
        load(path)


# LabelledRagDataset


def test_labelled_rag_dataset(tmp_path: Path) -> None:
    by = {"model_name": "gpt-4", "type": "ai"}
    example = {
        "query": "Who?",
        "query_by": by,
        "reference_contexts": ["The cat sat\non the mat."],
        "reference_answer": "The cat.",
        "reference_answer_by": by,
    }
    path = save(tmp_path, "rag_dataset.json", {"examples": [example, example | {"reference_contexts": None}]})
    first, second = load(path, documents=[Document("dog", "A dog."), Document("cat", CONTEXT)])
    assert first == Question("q1", "Who?", "The cat.", (Reference("cat", 0, 23, "The cat sat on the mat."),))
    assert second == Question("q2", "Who?", "The cat.")
    assert load(path).questions[0].references == (Reference("", None, None, "The cat sat\non the mat."),)


@pytest.mark.parametrize(
    ("examples", "words"),
    [
        ([], "holds no questions"),
        ([{"query": "A?"}, "B?"], r"examples\[1\]: an example is a JSON object"),
        ([{"query": "A?"}, {"query": ""}], r"examples\[1\]: the question is empty"),
        ([{"query": "A?", "reference_contexts": 7}], r"examples\[0\]: 'reference_contexts' must be a list"),
        ([{"query": "A?", "reference_contexts": [7]}], r"examples\[0\]: 'reference_contexts' must be a list of texts"),
        ([{"reference_answer": "B"}], "in no known form: no column 'question'; there are: reference_answer"),
    ],
)
def test_broken_labelled_rag_dataset(tmp_path: Path, examples: Any, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(save(tmp_path, "r.json", {"examples": examples}))


# BEIR


def beir(folder: Path, qrels: str, split: str = "test") -> Path:
    queries = ({"_id": f"q{n}", "text": f"Question {n}?"} for n in range(1, 4))
    save(folder, "queries.jsonl", "".join(json.dumps(query) + "\n" for query in queries))
    save(folder, "corpus.jsonl", json.dumps({"_id": "d1", "title": "", "text": CONTEXT}) + "\n")
    save(folder, f"qrels/{split}.tsv", "query-id\tcorpus-id\tscore\n" + qrels)
    return folder


def test_beir_made_from_xquad(data_dir: Path, tmp_path: Path) -> None:
    squad_set = load(data_dir / "xquad" / "xquad.en.json")
    queries = [{"_id": q.id, "text": q.text, "metadata": {}} for q in squad_set]
    save(tmp_path, "queries.jsonl", "".join(json.dumps(query) + "\n" for query in queries))
    qrels = "".join(f"{q.id}\t{q.references[0].document}\t1\n" for q in squad_set)
    save(tmp_path, "qrels/test.tsv", "query-id\tcorpus-id\tscore\n" + qrels)
    paragraphs = squad_paragraphs(json.loads((data_dir / "xquad" / "xquad.en.json").read_text(encoding="utf-8")))
    documents = [Document(name, paragraph["context"]) for name, paragraph in paragraphs]
    expected = [Question(q.id, q.text, documents=(q.references[0].document,)) for q in squad_set]
    assert list(load(tmp_path, documents=documents)) == expected


def test_questions_without_a_relevant_document_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    beir(tmp_path, "q1\td1\t2\nq2\td1\t0\nq1\td2\t1\r\n")
    with caplog.at_level(logging.INFO, "raytuner"):
        assert only(load(tmp_path)) == Question("q1", "Question 1?", documents=("d1", "d2"))
    assert "2 of 3 questions have no relevant document" in caplog.text


def test_test_comes_before_dev_before_train(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "dev", "test"), 1):
        beir(tmp_path, f"q{number}\td1\t1\n", split)
        assert only(load(tmp_path)).id == f"q{number}"


@pytest.mark.parametrize(
    ("qrels", "words"),
    [
        ("q1\td1\n", r"qrels/test.tsv: line 2: a judgement is query-id, corpus-id and score.*'q1\\td1'"),
        ("q1\td1\t1\nq1\td1\tmuch\n", "line 3: a judgement"),
        ("q9\td1\t1\n", "none of 3 questions has a relevant document"),
    ],
)
def test_broken_beir(tmp_path: Path, qrels: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(beir(tmp_path, qrels))


def test_beir_without_judgements(tmp_path: Path) -> None:
    (beir(tmp_path, "") / "qrels" / "test.tsv").unlink()
    with pytest.raises(DataError, match=r"there is none of qrels/test.tsv, qrels/dev.tsv, qrels/train.tsv; add one"):
        load(tmp_path)


def test_broken_queries_of_beir(tmp_path: Path) -> None:
    beir(tmp_path, "q1\td1\t1\n")
    save(tmp_path, "queries.jsonl", '{"_id": "q1", "text": "A?"}\n{"_id": \n')
    with pytest.raises(DataError, match=r"queries.jsonl: line 2: malformed JSON"):
        load(tmp_path)


# AutoRAG and Parquet


@pytest.mark.parametrize("name", ["", "qa.parquet"])
def test_autorag(data_dir: Path, name: str) -> None:
    folder = data_dir / "autorag-sample"
    corpus = parquet.read_table(folder / "corpus.parquet").to_pylist()
    questions = load(folder / name, documents=[Document(row["doc_id"], row["contents"]) for row in corpus])
    rows = parquet.read_table(folder / "qa.parquet").to_pylist()
    assert len(questions) == len(rows) == 20
    for question, row in zip(questions, rows, strict=True):
        assert (question.id, question.text) == (row["qid"], row["query"])
        assert set(question.documents) == {name for group in row["retrieval_gt"] for name in group}
        assert [question.answer, *question.other_answers] == list(dict.fromkeys(row["generation_gt"]))


def test_parquet_of_any_columns(tmp_path: Path) -> None:
    table = {
        "Frage": ["Who?", "Why?"],
        "Antwort": ["Me.", None],
        "start_index": [4.0, float("nan")],
        "end_index": [7.0, float("nan")],
    }
    parquet.write_table(pyarrow.table(table), tmp_path / "any.data")
    questions = load(tmp_path / "any.data", columns={"question": "Frage", "answer": "Antwort"})
    assert questions.questions == (Question("q1", "Who?", "Me.", (Reference("", 4, 7),)), Question("q2", "Why?"))


def test_the_name_of_a_folder_is_no_column(tmp_path: Path) -> None:
    (tmp_path / "answer=no").mkdir()
    parquet.write_table(pyarrow.table({"question": ["Who?"]}), tmp_path / "answer=no" / "q.parquet")
    assert only(load(tmp_path / "answer=no" / "q.parquet")) == Question("q1", "Who?")


def test_broken_parquet(tmp_path: Path) -> None:
    whole = tmp_path / "whole.parquet"
    parquet.write_table(pyarrow.table({"question": ["Who?"] * 99, "answer": [" "] * 99}), whole)
    (tmp_path / "half.parquet").write_bytes(whole.read_bytes()[:200])
    with pytest.raises(DataError, match=r"half.parquet: malformed Parquet: .*write the file again") as error:
        load(tmp_path / "half.parquet")
    assert "\n" not in str(error.value)
    parquet.write_table(pyarrow.table({"question": pyarrow.array([], pyarrow.string())}), whole)
    with pytest.raises(DataError, match="holds no questions"):
        load(whole)
    parquet.write_table(pyarrow.table({"question": ["Who?", None]}), whole)
    with pytest.raises(DataError, match="row 2: the question is empty"):
        load(whole)


# No known form


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"name": "x", "items": [1]}', "no column 'question'; there are: name, items; .*use a known form: CSV"),
        (b"Chapter 1 is about cats,\nas all know.\n", "no column 'question'; there are: Chapter 1 is about"),
        (b"\x89PNG\r\n\x00\x00", "a binary file is in no known form; known forms: CSV, Parquet.*SQuAD.*BEIR"),
    ],
)
def test_no_known_form(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "q.json").write_bytes(content)
    with pytest.raises(DataError, match=words) as error:
        load(tmp_path / "q.json")
    assert "known form" in str(error.value)
    assert "\n" not in str(error.value)
