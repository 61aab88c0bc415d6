"""Every form of a question set into every form that is written, and on into every other."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from click.testing import CliRunner
from pyarrow import parquet

from raytuner.cli import cli
from raytuner.datasets import Question, QuestionSet, convert, load
from raytuner.datasets.convert import SUFFIXES
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents

LOSSLESS = [suffix for suffix in SUFFIXES if suffix != ".json"]
Made = tuple[Path, Path | None]


def squad(data: Path, here: Path) -> Made:
    """Two articles of XQuAD, one paragraph each, with a question that cannot be answered."""
    articles = json.loads((data / "xquad" / "xquad.zh.json").read_text())["data"][:2]
    for article in articles:
        article["paragraphs"] = article["paragraphs"][:1]
    articles[0]["paragraphs"][0]["qas"][0] |= {"is_impossible": True, "answers": []}
    (here / "squad.json").write_text(json.dumps({"version": "v2.0", "data": articles}))
    return here / "squad.json", here / "squad.json"


def spans(data: Path, here: Path) -> Made:
    """The first lines of Chroma's CSV with spans."""
    with (data / "chroma-chunking" / "questions.csv").open(newline="") as stream:
        (here / "spans.csv").write_text("".join(islice(stream, 6)))
    return here / "spans.csv", data / "chroma-chunking" / "corpora"


def golden(data: Path, here: Path) -> Made:
    """LlamaIndex's QueryResponseDataset."""
    return data / "llama2" / "llama2_eval_qr_dataset.json", None


def labelled(data: Path, here: Path) -> Made:
    """LlamaIndex's LabelledRagDataset."""
    source, documents = spans(data, here)
    convert(source, here / "rag_dataset.json", documents=documents)
    return here / "rag_dataset.json", documents


def autorag(data: Path, here: Path) -> Made:
    """A few of AutoRAG's questions, with its whole corpus."""
    (here / "autorag").mkdir()
    for name, rows in (("qa", 3), ("corpus", 99)):
        table = parquet.read_table(data / "autorag-sample" / f"{name}.parquet", use_threads=False)
        parquet.write_table(table.slice(0, rows), here / "autorag" / f"{name}.parquet")
    return here / "autorag", here / "autorag"


def autorag_file(data: Path, here: Path) -> Made:
    """Its questions, named themselves."""
    folder, documents = autorag(data, here)
    return folder / "qa.parquet", documents


def beir(data: Path, here: Path) -> Made:
    """The same in BEIR's form."""
    folder, _ = autorag(data, here)
    (here / "beir" / "qrels").mkdir(parents=True)
    corpus = [{"_id": row["doc_id"], "text": row["contents"]} for row in rows_of(folder / "corpus.parquet")]
    asked = rows_of(folder / "qa.parquet")
    lines(here / "beir" / "corpus.jsonl", corpus)
    lines(here / "beir" / "queries.jsonl", [{"_id": row["qid"], "text": row["query"]} for row in asked])
    judged = [f"{row['qid']}\t{name}\t1\n" for row in asked for names in row["retrieval_gt"] for name in names]
    (here / "beir" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(judged))
    return here / "beir", here / "beir"


def rows_of(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pyarrow.Table.to_pylist(parquet.read_table(path, use_threads=False))
    return rows


def lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


FORMS: dict[str, Callable[[Path, Path], Made]] = {
    made.__name__: made for made in (squad, spans, golden, labelled, autorag, autorag_file, beir)
}


def read(path: Path, documents: Sequence[Document] | None) -> QuestionSet:
    return load(path, documents=documents)


def bare(questions: QuestionSet) -> list[Question]:
    """With what every form has; a reference's text is known where it was located."""
    return [
        replace(question, references=tuple(replace(r, text=None) for r in question.references))
        for question in questions
    ]


@pytest.mark.parametrize("suffix", LOSSLESS)
@pytest.mark.parametrize("form", FORMS)
def test_nothing_is_lost_on_two_ways(data_dir: Path, tmp_path: Path, form: str, suffix: str) -> None:
    source, place = FORMS[form](data_dir, tmp_path)
    documents = load_documents(place) if place is not None else None
    expected = read(source, documents)
    done = CliRunner().invoke(cli, ["convert", str(source), str(tmp_path / f"out{suffix}")])
    assert done.exit_code == 0, done.output
    assert read(tmp_path / f"out{suffix}", documents) == expected
    for other in LOSSLESS:
        convert(tmp_path / f"out{suffix}", tmp_path / f"again{other}", documents=documents)
        assert bare(read(tmp_path / f"again{other}", documents)) == bare(expected)


@pytest.mark.parametrize("form", FORMS)
def test_labelled_rag_holds_questions_answers_and_texts(data_dir: Path, tmp_path: Path, form: str) -> None:
    source, place = FORMS[form](data_dir, tmp_path)
    documents = load_documents(place) if place is not None else None
    texts = {document.id: document.text for document in documents or ()}
    convert(source, tmp_path / "out.json")
    examples = json.loads((tmp_path / "out.json").read_text())["examples"]
    expected = read(source, documents)
    assert len(examples) == len(expected) > 0
    for example, question in zip(examples, expected, strict=True):
        assert example["query"] == question.text
        assert example["reference_answer"] == (question.answer or "")
        spans = [reference.text for reference in question.references] or [texts[name] for name in question.documents]
        assert example["reference_contexts"] == spans
    for suffix in LOSSLESS:
        convert(tmp_path / "out.json", tmp_path / f"again{suffix}")
        assert load(tmp_path / f"again{suffix}") == load(tmp_path / "out.json")
