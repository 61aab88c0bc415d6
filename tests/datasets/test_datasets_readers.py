"""Question sets in every form, and what is wrong with them."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

import pytest

from raytuner.datasets import Question, QuestionSet, Reference, load
from raytuner.errors import ConfigError, DataError, UserError

SPANS = [{"content": "cat", "start_index": 4, "end_index": 7}]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def writer(content: str | bytes, name: str = "questions.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return writer


def lines(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def only(questions: QuestionSet) -> Question:
    (question,) = questions
    return question


# Real data


def test_llama2(data_dir: Path) -> None:
    questions = load(data_dir / "llama2" / "llama2_eval_qr_dataset.json")
    assert len(questions) == 60
    assert all(question.answer and question.text and not question.references for question in questions)
    assert questions.questions[0].id == "8104271f-8123-4236-890b-85c43467696d"


def test_chroma(data_dir: Path) -> None:
    questions = load(data_dir / "chroma-chunking" / "questions.csv")
    assert len(questions) == 317
    assert (questions.questions[0].id, questions.questions[-1].id) == ("q001", "q317")
    assert {ref.document for q in questions for ref in q.references} == {"finance", "state_of_the_union", "wikitexts"}
    assert all(ref.text and len(ref.text) == ref.end - ref.start for q in questions for ref in q.references)


# Forms


def test_query_response_dataset(write: Any) -> None:
    path = write(json.dumps({"queries": {"a": "Who?", "b": "Why?"}, "responses": {"a": "Me."}}, indent=1))
    assert load(path).questions == (Question("a", "Who?", "Me."), Question("b", "Why?"))


def test_json_lines_with_references(write: Any) -> None:
    row = {"id": "x", "query": "Who?", "ground_truth": "A cat.", "references": SPANS, "doc_id": "pets"}
    expected = Question("x", "Who?", "A cat.", (Reference("pets", 4, 7, "cat"),))
    assert only(load(write(lines(row)))) == expected
    assert only(load(write(json.dumps([row], indent=2)))) == expected


def test_a_reference_may_name_its_own_document(write: Any) -> None:
    references = [{"start_index": 0, "end_index": 2, "document": "b.md"}, {"start_index": 1, "end_index": 2}]
    question = only(load(write(lines({"question": "Who?", "references": references, "document": "a.md"}))))
    assert question.references == (Reference("b.md", 0, 2), Reference("a.md", 1, 2))


def test_flat_csv(write: Any) -> None:
    path = write(
        "qid,question,answer,document,start_index,end_index,content\n7,Who?,,pets.md,4.0,7,cat\n8,Why?,So.,,,,\n"
    )
    assert load(path).questions == (
        Question("7", "Who?", None, (Reference("pets.md", 4, 7, "cat"),)),
        Question("8", "Why?", "So."),
    )


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_csv_of_other_delimiters(write: Any, delimiter: str) -> None:
    path = write(delimiter.join(["question", "answer"]) + "\n" + delimiter.join(["Who, me?", "Yes"]) + "\n")
    assert only(load(path)) == Question("q1", "Who, me?", "Yes")


def test_document_ids_only(write: Any) -> None:
    path = write(lines({"question": "A?", "documents": ["a", "b", "a"]}, {"question": "B?", "documents": "c"}))
    assert [question.documents for question in load(path)] == [("a", "b"), ("c",)]
    path = write('question,document\nA?,"[""a"", ""b""]"\nB?,c\n')
    assert [question.documents for question in load(path)] == [("a", "b"), ("c",)]
    path = write(lines({"question": "A?", "document": "[draft] plan.md"}))
    assert only(load(path)).documents == ("[draft] plan.md",)


@pytest.mark.parametrize("value", ["false", "False", "no", "0"])
def test_several_answers_and_none_in_csv(write: Any, value: str) -> None:
    path = write(f'question,answer,other_answers,answerable\nA?,a,"[""b"", ""a""]",\nB?,,,{value}\nC?,c,,true\n')
    assert load(path).questions == (
        Question("q1", "A?", "a", other_answers=("b",)),
        Question("q2", "B?", "", answerable=False),
        Question("q3", "C?", "c"),
    )


def test_several_answers_in_one_list(write: Any) -> None:
    rows = [{"question": "A?", "answer": ["a", "", "b", "a"]}, {"question": "B?", "answer": [], "other_answers": ["c"]}]
    assert [(q.answer, q.other_answers) for q in load(write(lines(*rows)))] == [("a", ("b",)), ("c", ())]


def test_columns_name_the_files_own(write: Any) -> None:
    path = write("Frage,question,Antwort\nWer?,Who?,Ich\n")
    assert only(load(path, columns={"question": "Frage", "answer": "Antwort"})) == Question("q1", "Wer?", "Ich")


def test_columns_are_found_in_any_case(write: Any) -> None:
    (question,) = load(write("ID;Question;Answer\nx;Who?;Me.\n"))
    assert question == Question("x", "Who?", "Me.")
    (question,) = load(write("Question,question\nno,Who?\n"))
    assert question.text == "Who?"


def test_ids_are_padded_to_a_common_width(write: Any) -> None:
    questions = load(write(lines(*({"question": f"Q{i}?"} for i in range(10)))))
    assert [questions.questions[i].id for i in (0, 9)] == ["q01", "q10"]


def test_byte_order_mark_line_ends_and_blank_lines(write: Any) -> None:
    assert only(load(write(codecs.BOM_UTF8 + b"question\r\n\r\nWho?\r\n"))).text == "Who?"
    assert only(load(write(codecs.BOM_UTF8 + b'\r\n{"question": "Who?"}\r\n\r\n'))).text == "Who?"


def test_a_line_separator_inside_json_is_no_line_end(write: Any) -> None:
    path = write(lines({"question": "A\u2028B?"}, {"question": "C?"}))
    assert [question.text for question in load(path)] == ["A\u2028B?", "C?"]


def test_long_csv_fields_and_quoted_line_ends(write: Any) -> None:
    long = "x\r\n" * 100_000
    assert only(load(write(f'question,answer\nWho?,"{long}"\n'))).answer == long


def test_other_encoding(write: Any) -> None:
    path = write("question\nWeißt du?\n".encode("latin-1"))
    assert only(load(path, encoding="latin-1")).text == "Weißt du?"


# Wrong input: the type and the key words of the message; every message is one line

HEAD = '{"question": "A?"}\n'
WRONG: list[tuple[str, str | bytes, str]] = [
    ("empty file", "", "file is empty"),
    ("only white space", " \n\t\n", "file is empty"),
    ("header only", "question,answer\n", "holds no questions"),
    ("empty list", "[]", "holds no questions"),
    ("not UTF-8", "question\nWeißt du?\n".encode("latin-1"), "cannot be decoded: 'utf-8' .*convert"),
    ("a Parquet file", b"PAR1\x15\x04\xff\xfe\x80", "malformed Parquet"),
    ("malformed line", HEAD + '{"question": \n', "line 2: malformed JSON"),
    ("malformed file", '{\n "queries": {\n  "a": "A?",,\n }\n}', "line 3: malformed JSON"),
    ("repeated key", '{"queries": {"a": "A?", "a": "B?"}}', "'a' is there twice"),
    ("line that is no object", HEAD + "[1]\n", r"line 2: a question is a JSON object.*\[1\]"),
    ("list of texts", '["A?"]', "item 1: a question is a JSON object"),
    ("responses that are no mapping", '{"queries": {"a": "A?"}, "responses": ["x"]}', "must map ids to texts"),
    ("no question column", "title,text\na,b\n", r"no column 'question'; there are: title, text; .*columns: "),
    ("no question key", '{"data": [], "version": 1}', "no column 'question'; there are: data, version"),
    ("empty question in CSV", "question,answer\nA?,b\n  ,c\n", "line 3: the question is empty"),
    ("empty question in JSON lines", HEAD + "\n" + '{"question": ""}\n', "line 3: the question is empty"),
    ("empty question in a dataset", '{"queries": {"k": ""}}', "query 'k': the question is empty"),
    ("question of a wrong type", '{"question": ["A?"]}', "item 1: 'question' must be text"),
    ("repeated id", "id,question\nx,A?\ny,B?\nx,C?\n", "line 4: question id 'x' is taken, see line 2"),
    ("unclosed quote", 'question,answer\nA?,b\nB?,"c\nD?,e\n', "line 3: malformed CSV"),
    ("too many fields", "question,answer\nA?,b,c\n", "line 2: 3 fields, but the header names 2 columns"),
    ("repeated column", "question,question\nA?,b\n", "two columns are named 'question'"),
    ("references that are no JSON", "question,references\nA?,[{]\n", "line 2: 'references' is malformed JSON"),
    ("references that are no list", '{"question": "A?", "references": {"a": 1}}', "'references' must be a list"),
    ("reference that is no object", '{"question": "A?", "references": [7]}', "an object with start_index"),
    (
        "reference without end",
        '{"question": "A?", "references": [{"start_index": 1}]}',
        "end_index must be a whole number",
    ),
    ("span without end", "question,start_index,end_index\nA?,1,\n", "line 2: end_index must be a whole number"),
    ("half an offset", "question,start_index,end_index\nA?,1.5,2\n", "start_index must be a whole number.*1.5"),
    ("offset in words", "question,start_index,end_index\nA?,one,2\n", "start_index must be a whole number.*one"),
    (
        "content of a wrong type",
        '{"question": "A?", "references": [{"start_index": 1, "end_index": 2, "content": 3}]}',
        "content must be text",
    ),
    (
        "one of several documents",
        '{"question": "A?", "documents": ["a", "b"], "references": [{"start_index": 1, "end_index": 2}]}',
        "must name one of the 2 documents",
    ),
    ("answers of a wrong type", '{"question": "A?", "answer": [1]}', "'answer' must be a list of texts"),
    ("answerable or not", '{"question": "A?", "answerable": "perhaps"}', "'answerable' must be true or false"),
    (
        "alternative in words",
        '{"question": "A?", "references": [{"content": "a", "alternative": "first"}]}',
        "alternative must be a whole number",
    ),
    ("blank passage", '{"question": "A?", "references": [" "]}', "an object with start_index and end_index"),
    ("documents of a wrong type", '{"question": "A?", "documents": [1]}', "must list names of documents"),
]


@pytest.mark.parametrize(("content", "words"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_wrong_files(write: Any, content: str | bytes, words: str) -> None:
    path = write(content)
    with pytest.raises(DataError, match=words) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"columns": {"questoin": "question"}}, ConfigError, "questions.columns.*did you mean 'question'"),
        ({"columns": {"answer": "Antwort"}}, DataError, "no column 'Antwort'.*there are: question, answer"),
        ({"on_bad_span": "ignore"}, ConfigError, "on_bad_span.*'ignore'.*drop, error"),
        ({"encoding": "utf-9"}, ConfigError, "no encoding 'utf-9'"),
    ],
)
def test_wrong_arguments(write: Any, arguments: dict[str, Any], kind: type[UserError], words: str) -> None:
    with pytest.raises(kind, match=words):
        load(write("question,answer\nA?,b\n"), **arguments)


def test_wrong_paths(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: No such file"):
        load(tmp_path / "none.csv")
    with pytest.raises(DataError, match="the folder is no question set; known forms of folders: BEIR"):
        load(tmp_path)
    with pytest.raises(DataError, match="did you mean 'builtin:quickstart'"):
        load("builtin:quickstrat")
