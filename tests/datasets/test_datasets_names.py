"""Several files of questions and documents together: whose paragraph a question is about."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from raytuner.config import TuneConfig
from raytuner.datasets import Question, QuestionSet, convert, load
from raytuner.documents.load import load_documents
from raytuner.errors import ConfigError, DataError
from raytuner.plan import make_plan

FILES = ("xquad.en.json", "xquad.zh.json")  # the same titles and the same ids of questions in two languages


def is_of(question: Question, file: str) -> bool:
    return all(reference.document.startswith(f"{file}#") for reference in question.references)


@pytest.mark.parametrize("asked", [FILES, FILES[::-1], FILES[:1], FILES[1:]])
@pytest.mark.parametrize("given", [FILES, FILES[::-1]])
def test_questions_are_about_the_paragraphs_of_their_own_file(
    data_dir: Path, given: tuple[str, ...], asked: tuple[str, ...]
) -> None:
    folder = data_dir / "xquad"
    config = {
        "documents": [str(folder / name) for name in given],
        "questions": [str(folder / name) for name in asked],
        "pipeline": {"retriever": "bm25"},
    }
    objective = make_plan(TuneConfig.parse(yaml.safe_dump(config))).objective
    questions = list(objective.questions)
    assert len(objective.documents) == 480
    assert len({question.id for question in questions}) == len(questions) == 1190 * len(asked)
    for number, name in enumerate(asked):
        own = questions[1190 * number : 1190 * (number + 1)]
        assert all(is_of(question, name) for question in own)
        assert own[0].id.startswith(f"{name}#") == (len(asked) > 1)


def test_a_copy_elsewhere_and_a_converted_set_know_the_paragraphs_by_title(data_dir: Path, tmp_path: Path) -> None:
    source = data_dir / "xquad" / FILES[0]
    documents = load_documents(source)
    expected = load(source, documents=documents)
    shutil.copy(source, tmp_path / "copy.json")
    convert(source, tmp_path / "out.csv")
    assert load(tmp_path / "copy.json", documents=documents) == expected
    assert load(tmp_path / "out.csv", documents=documents) == expected
    both = load_documents(data_dir / "xquad" / "*.json")
    with pytest.raises(DataError, match=r"'Super_Bowl_50/0', which is the name of 2 documents; there are: xquad\.en"):
        load(tmp_path / "out.csv", documents=both)


def test_files_of_the_same_name_keep_more_of_their_path(data_dir: Path, tmp_path: Path) -> None:
    for folder, file in zip(("en", "zh"), FILES, strict=True):
        (tmp_path / folder).mkdir()
        shutil.copy(data_dir / "xquad" / file, tmp_path / folder / "set.json")
    paths = [tmp_path / "en" / "set.json", tmp_path / "zh" / "set.json"]
    questions = load(paths, documents=load_documents(paths)).questions
    assert is_of(questions[0], "en/set.json")
    assert is_of(questions[-1], "zh/set.json")
    assert questions[-1].id.startswith("zh/set.json#")


def write(path: Path, *ids: str) -> Path:
    path.write_text("".join(json.dumps({"id": own, "question": "Who?", "document": "a.md"}) + "\n" for own in ids))
    return path


def test_only_ids_of_several_files_begin_with_the_file(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.jsonl", "x", "y"), write(tmp_path / "b.jsonl", "x", "z")
    assert [question.id for question in load([first, second, first])] == ["a.jsonl#x", "y", "b.jsonl#x", "z"]
    assert load([first]) == load(first)
    with pytest.raises(DataError, match="questions is an empty list: name a question set"):
        load([])


def test_the_questions_of_a_beir_folder_are_about_its_corpus(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "qrels").mkdir(parents=True)
        (tmp_path / name / "corpus.jsonl").write_text(json.dumps({"_id": "d", "text": name}))
        (tmp_path / name / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "Which?"}))
        (tmp_path / name / "qrels" / "test.tsv").write_text("q\td\t1\n")
    folders = [tmp_path / "one", tmp_path / "two"]
    found = load(folders, documents=load_documents(folders))
    assert [question.documents for question in found] == [("one/corpus.jsonl#d",), ("two/corpus.jsonl#d",)]
    assert isinstance(found, QuestionSet)


def test_all_questions_are_excluded_from_a_folder_of_documents(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.md").write_text("Owls hunt.")
    write(tmp_path / "one.jsonl", "x")
    write(tmp_path / "two.jsonl", "y")
    text = "documents: .\nquestions: [one.jsonl, two.jsonl]\npipeline: {retriever: bm25}\n"
    plan = make_plan(TuneConfig.parse(text, base=tmp_path))
    assert (len(plan.objective.documents), len(plan.objective.questions)) == (1, 2)
    assert caplog.text == ""
    with pytest.raises(ConfigError, match=r"questions\.path\.1: 3 is not allowed"):
        TuneConfig.parse("documents: .\nquestions: [one.jsonl, 3]\n", base=tmp_path)
