"""The first config: what it says, and that `raytuner plan` takes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from jsonschema import Draft202012Validator

import raytuner
from raytuner.cli import cli
from raytuner.config import TuneConfig
from raytuner.errors import ConfigError, DataError
from raytuner.init import SIZES, init
from raytuner.plan import Plan, make_plan
from raytuner.schema import HEADER, SCHEMA_FILE

QUICKSTART = Path(raytuner.__file__).parent / "data" / "quickstart"
HANDBOOK = "# Handbook\n\nEach employee has 30 days of paid leave a year.\n"
ROW = {"question": "How many days of leave do I have?"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, in which the command is called."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def planned(config: str = "rag.yaml") -> Plan:
    return make_plan(TuneConfig.load(config))


def test_quickstarts_documents_in_a_folder(here: Path) -> None:
    shutil.copytree(QUICKSTART, here / "my-docs")
    done = CliRunner().invoke(cli, ["init", "my-docs", "--questions", "my-docs/questions.jsonl"])
    assert done.exit_code == 0, done.output
    assert "documents: 13 (13 .md)" in done.output
    assert "questions: 60 (60 with reference spans, 60 with answers)" in done.output
    assert done.output.endswith("raytuner plan rag.yaml\n")
    checked = CliRunner().invoke(cli, ["plan", "rag.yaml"])
    assert checked.exit_code == 0, checked.output
    assert "objective   span_f4, max" in checked.output
    text = (here / "rag.yaml").read_text()
    assert text.startswith(HEADER)
    assert "metric: span_f4  # every question has reference spans" in text
    assert "\ndocuments: my-docs\nquestions: my-docs/questions.jsonl\n" in text
    Draft202012Validator(json.loads((here / SCHEMA_FILE).read_text())).validate(yaml.safe_load(text))


def test_a_single_file_and_questions_that_name_it(here: Path) -> None:
    (here / "handbook.md").write_text(HANDBOOK)
    write(here / "questions.jsonl", {**ROW, "document": "handbook.md"})
    init("handbook.md", "questions.jsonl")
    found = planned()
    assert found.objective.metric == "ndcg"
    assert found.space.parameters["chunk_size"].values == (16,)  # the document has about 15 tokens


def test_chroma(here: Path, data_dir: Path) -> None:
    chroma = data_dir / "chroma-chunking"
    written = init(str(chroma / "corpora"), str(chroma / "questions.csv"))
    found = planned()
    assert len(found.objective.questions) == 317
    assert found.objective.metric == "span_f4"
    assert found.space.parameters["chunk_size"].values == (64, 128, 256, 512)
    assert found.models == ("wordllama",)  # minilm would take minutes for each chunk size
    assert "317 with reference spans" in written.found[1]


def test_answers_only_are_compared_by_meaning(here: Path, data_dir: Path) -> None:
    llama = data_dir / "llama2"
    init(str(llama / "llama2_paper.md"), str(llama / "llama2_eval_qr_dataset.json"))
    assert planned().objective.metric == "semantic_similarity"
    assert "llm: extractive" in (here / "rag.yaml").read_text()


@pytest.mark.parametrize("tokens", [20, 40, 100, 300, 700, 5000])
def test_no_chunk_size_is_larger_than_most_documents(here: Path, tokens: int) -> None:
    (here / "my-docs").mkdir()
    for number in range(5):
        (here / "my-docs" / f"{number}.txt").write_text("word " * (tokens * 4 // 5 + number))
    write(here / "q.jsonl", {**ROW, "answer": "30"})
    init("my-docs", "q.jsonl")
    sizes = planned().space.parameters["chunk_size"].values
    assert max(sizes) <= tokens + 5
    assert max(sizes) * 2 > min(tokens, SIZES[-1])


def test_a_long_document_beside_many_notes_decides_the_sizes(here: Path) -> None:
    (here / "my-docs").mkdir()
    (here / "my-docs" / "report.rst").write_text("word " * 50_000)
    for number, suffix in enumerate(["txt", "md", "html", "csv"] * 2):
        (here / "my-docs" / f"{number}.{suffix}").write_text(f"text\nnote {number}\n")
    written = init("my-docs")
    assert "(2 .txt, 2 .md, 2 .html, 2 rows of .csv, 1 .rst)" in written.found[0]
    write(here / "questions.jsonl", {**ROW, "document": "report.rst"})
    assert planned().space.parameters["chunk_size"].values == SIZES[-4:]


def test_without_questions_it_says_how_one_looks(here: Path) -> None:
    (here / "my-docs").mkdir()
    (here / "my-docs" / "handbook.md").write_text(HANDBOOK)
    written = init("my-docs")
    [example] = [line for line in written.advice if line.lstrip().startswith("{")]
    with pytest.raises(DataError, match=r"questions\.jsonl: No such file"):
        planned()
    write(here / "questions.jsonl", {**json.loads(example), "start_index": 12, "end_index": 59})
    assert planned().objective.metric == "span_f4"


def test_questions_that_can_be_scored_by_nothing_are_pointed_out(here: Path) -> None:
    (here / "handbook.md").write_text(HANDBOOK)
    write(here / "questions.jsonl", ROW)
    written = init("handbook.md", "questions.jsonl")
    assert written.found[1] == "questions: 1 (nothing but the questions)"
    assert "give each question an answer" in written.advice[0]


def test_paths_are_relative_to_the_config(here: Path) -> None:
    for folder in ("docs", "configs"):
        (here / folder).mkdir()
    (here / "docs" / "it's: a ${handbook}.md").write_text(HANDBOOK)
    write(here / "questions.jsonl", {**ROW, "answer": "30"})
    init("docs/it's: a ${handbook}.md", "questions.jsonl", Path("configs/rag.yaml"))
    assert yaml.safe_load(Path("configs/rag.yaml").read_text())["questions"] == "../questions.jsonl"
    assert planned("configs/rag.yaml").objective.documents[0].text == HANDBOOK


def test_other_scripts_are_searched_by_words(here: Path) -> None:
    (here / "leave.txt").write_text("每名员工每年有三十天带薪休假。团队负责人审批每个申请。" * 40)
    write(here / "questions.jsonl", {"question": "有几天休假?", "answer": "三十天"})
    init("leave.txt", "questions.jsonl")
    assert planned().config.pipeline["retriever"] == "bm25"


def test_nothing_is_overwritten_unasked(here: Path) -> None:
    (here / "handbook.md").write_text(HANDBOOK)
    (here / "rag.yaml").write_text("mine")
    with pytest.raises(ConfigError, match=r"rag\.yaml: this file is there already.*--out.*--force"):
        init("handbook.md")
    assert (here / "rag.yaml").read_text() == "mine"
    assert not (here / SCHEMA_FILE).exists()
    init("handbook.md", force=True)
    assert (here / "rag.yaml").read_text().startswith(HEADER)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["init", "nowhere"], "nowhere: no such file or folder"),
        (["init", "handbook.md", "--questions", "nothing.jsonl"], "nothing.jsonl: No such file"),
        (["init", "handbook.md", "--out", "no/folder/rag.yaml"], "no/folder/rag.yaml: No such file or directory"),
    ],
)
def test_mistakes_write_nothing(here: Path, arguments: list[str], message: str) -> None:
    (here / "handbook.md").write_text(HANDBOOK)
    done = CliRunner().invoke(cli, arguments)
    assert message in str(done.exception)
    assert [path.name for path in here.iterdir()] == ["handbook.md"]


MISSED = {"question": "Who?", "answer": "30", "references": ["nowhere"]}


@pytest.mark.parametrize(
    ("rows", "says", "kept", "metric"),
    [
        ([{"references": ["30 days of paid leave"]}, MISSED], "missed: 1 references", 1, "span_f4"),
        (
            [{"references": ["30 days"]}, {"start_index": 0, "end_index": 999, "answer": "30"}],
            "1 spans that do not fit; 1 questions have no other",
            1,
            "span_f4",
        ),
        ([{"references": ["30 days", "nowhere"]}], "missed: 1 references", 1, "span_f4"),
        ([MISSED], "missed: 1 references", 1, "semantic_similarity"),
    ],
)
def test_references_that_do_not_fit_are_said_and_left_out(
    here: Path, rows: list[dict[str, Any]], says: str, kept: int, metric: str
) -> None:
    (here / "handbook.md").write_text(HANDBOOK)
    write(here / "questions.jsonl", *({**ROW, **row} for row in rows))
    written = init("handbook.md", "questions.jsonl")
    assert says in written.found[2]
    text = (here / "rag.yaml").read_text()
    assert f"# {written.found[2]}\n" in text
    assert "# on_bad_span: drop leaves out" in text
    objective = planned().objective
    assert (len(objective.questions), objective.metric) == (kept, metric)


def test_paragraphs_and_rows_are_called_so(here: Path, data_dir: Path) -> None:
    squad = str(data_dir / "xquad" / "xquad.en.json")
    assert init(squad, squad).found[0].startswith("documents: 240 (240 paragraphs of a question set), ")
    (here / "table.csv").write_text("text\nOwls hunt.\nBees make honey.\n")
    assert "2 (2 rows of .csv)" in init("table.csv", force=True).found[0]


def test_the_questions_in_the_folder_are_no_documents(here: Path) -> None:
    (here / "docs").mkdir()
    (here / "docs" / "handbook.md").write_text(HANDBOOK)
    write(here / "docs" / "asked.jsonl", {**ROW, "answer": "30", "text": "a column of text"})
    assert "documents: 1 (1 .md)" in init("docs", "docs/asked.jsonl").found[0]
    assert len(planned().objective.documents) == 1
