"""Tables of documents, and collections that carry their documents with their questions."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.documents.squad import is_squad, squad_paragraphs
from raytuner.errors import DataError

ROWS: list[dict[str, object]] = [
    {"_id": "owl", "title": "Owls", "text": "Owls hunt\nat night.", "year": 2020},
    {"_id": "", "title": "", "text": "Bees make honey; a lot.", "year": None},
]
EXPECTED = [("owl", "Owls\n\nOwls hunt\nat night."), ("{}#2", "Bees make honey; a lot.")]


def write(path: Path, rows: list[dict[str, object]]) -> Path:
    """Rows as the suffix says."""
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    else:
        delimiter = "\t" if path.suffix == ".tsv" else ","
        lines = [list(rows[0]), *([row.get(column) for column in rows[0]] for row in rows)]
        cells = [['"' + str("" if cell is None else cell).replace('"', '""') + '"' for cell in line] for line in lines]
        path.write_text("\n".join(delimiter.join(line) for line in cells))
    return path


def pairs(documents: list[Document]) -> list[tuple[str, str]]:
    return [(document.id, document.text) for document in documents]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet"])
def test_each_row_is_a_document(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, ROWS)
    documents = load_documents(path)
    assert pairs(documents) == [(identifier.format(name), text) for identifier, text in EXPECTED]
    assert {document.source for document in documents} == {str(path)}


def test_semicolons_separate_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id;Text\nx;a, b\n")
    assert pairs(load_documents(tmp_path / "a.csv")) == [("x", "a, b")]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_without_a_column_of_text_a_row_is_all_its_values(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, [{"id": 7, "colour": "red", "legs": 4}, {"id": 8, "colour": None, "legs": 2}])
    assert pairs(load_documents(path)) == [("7", "id: 7\ncolour: red\nlegs: 4"), ("8", "id: 8\nlegs: 2")]


def test_rows_without_text_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.jsonl", [{"text": "a"}, {"text": " "}, {"title": "only"}])
    assert pairs(load_documents(path)) == [("a.jsonl#1", "a"), ("a.jsonl#3", "only")]
    assert "1 of 3 rows are empty and left out" in caplog.text


def test_rows_of_two_files_with_the_same_ids_begin_with_the_file(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        write(tmp_path / name, [{"id": "1", "text": name}, {"id": name[0], "text": "own"}])
    assert [name for name, _ in pairs(load_documents(tmp_path))] == ["a.jsonl#1", "a", "b.jsonl#1", "b"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1), min_size=1, max_size=4))
def test_jsonl_and_parquet_give_the_same(tmp_path: Path, texts: list[str]) -> None:
    rows: list[dict[str, object]] = [{"id": str(n), "text": f"x{text}"} for n, text in enumerate(texts)]
    found = [load_documents(write(tmp_path / name, rows)) for name in ("a.jsonl", "a.parquet")]
    assert pairs(found[0]) == pairs(found[1]) == [(row["id"], row["text"]) for row in rows]


# Collections


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_paragraphs_of_squad_are_documents(data_dir: Path, language: str) -> None:
    path = data_dir / "xquad" / f"xquad.{language}.json"
    documents = load_documents(path)
    articles = json.loads(path.read_text())["data"]
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    assert len(documents) == 240
    assert [document.text for document in documents] == [paragraph["context"] for paragraph in paragraphs]
    first = articles[0]["title"]
    assert [document.id for document in documents[:2]] == [f"{path.name}#{first}/0", f"{path.name}#{first}/1"]
    assert load_documents(path.parent / "*.json", exclude=[path])[0].source is not None


def test_two_squad_files_keep_their_paragraphs_apart(data_dir: Path) -> None:
    documents = load_documents(data_dir / "xquad" / "*.json")
    assert len({document.id for document in documents}) == len(documents) == 480
    alone = [load_documents(data_dir / "xquad" / name) for name in ("xquad.en.json", "xquad.zh.json")]
    assert documents == [document for own in alone for document in own]


def test_articles_of_the_same_title_are_counted_on() -> None:
    def article(title: str | None, count: int) -> dict[str, object]:
        return {"title": title, "paragraphs": [{"context": "c", "qas": []}] * count}

    data = {"data": [article("a", 2), article(None, 1), article("a", 1)]}
    assert is_squad(data)
    assert [identifier for identifier, _ in squad_paragraphs(data)] == ["a/0", "a/1", "article/0", "a/2"]


@pytest.mark.parametrize(
    "value", [[], 3, {}, {"data": []}, {"data": [1]}, {"data": [{"paragraphs": [{"text": "no context"}]}]}]
)
def test_what_is_not_squad(value: object) -> None:
    assert not is_squad(value)


def test_of_autorag_only_the_corpus_is_read(data_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    documents = load_documents(data_dir / "autorag-sample")
    corpus = pyarrow.parquet.read_table(data_dir / "autorag-sample" / "corpus.parquet").to_pylist()
    assert pairs(documents) == [(row["doc_id"], row["contents"]) for row in corpus]
    assert caplog.text == ""


def test_of_beir_only_the_corpus_is_read(tmp_path: Path) -> None:
    beir = tmp_path / "sets" / "scifact"
    (beir / "qrels").mkdir(parents=True)
    write(beir / "corpus.jsonl", ROWS)
    write(beir / "queries.jsonl", [{"_id": "q1", "text": "When do owls hunt?"}])
    (beir / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\towl\t1\n")
    assert pairs(load_documents(beir)) == [("owl", EXPECTED[0][1]), ("corpus.jsonl#2", EXPECTED[1][1])]
    assert len(load_documents(tmp_path)) == 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "id,text\n1,a\n1,b\n", "row 2: the id '1' is there twice"),
        ("a.csv", "text\n", "holds no questions or documents"),
        ("a.csv", "text,x\n ,1\n", "the file is empty"),
        ("a.jsonl", '{"text": "a"}\n5\n', "line 2: .*a document one such as"),
        ("a.jsonl", '{"text": ["a"]}\n', "row 1: text is list"),
        ("a.json", '{"data": [', "malformed JSON"),
        ("a.json", '{"examples": []}', "no known form"),
        ("a.parquet", "PAR1", "not a Parquet file"),
    ],
)
def test_a_table_that_cannot_be_used(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        load_documents(tmp_path / name)
