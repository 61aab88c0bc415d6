"""Documents by a reader of LlamaIndex."""

from __future__ import annotations

import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.schema import Document as LlamaDocument

from raytuner.config import TuneConfig
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.errors import ConfigError, DataError
from raytuner.plan import make_plan, run_plan
from raytuner.plan_text import describe
from raytuner.run_log import RunLog

SIMPLE = "llama_index.core.SimpleDirectoryReader"


class Pages:
    """A reader of one file at a time, a document for each page."""

    def __init__(self, first: int = 1) -> None:
        self.first = first

    def load_data(self, file: Path) -> list[LlamaDocument]:
        pages = file.read_text().split("\f")
        return [
            LlamaDocument(text=text, metadata={"file_name": file.name, "page_label": str(number)})
            for number, text in enumerate(pages, self.first)
        ]


def records(count: int = 2, kind: type = LlamaDocument) -> list[Any]:
    return [kind(id_=f"record {number}", text=f"text {number}") for number in range(count)]


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    (tmp_path / "a.txt").write_text("one\ftwo\fthree")
    (tmp_path / "b.txt").write_text("four\ffive")
    return [tmp_path / "a.txt", tmp_path / "b.txt"]


def test_a_class_is_made_with_its_options_and_called_without_a_path(files: list[Path]) -> None:
    documents = load_documents([], reader=SIMPLE, options={"input_dir": str(files[0].parent)})
    assert [document.id for document in documents] == ["a.txt", "b.txt"]
    assert [document.source for document in documents] == [str(file) for file in files]
    assert documents[0].text == files[0].read_text()


@pytest.mark.parametrize("reader", [Pages, Pages(), f"{__name__}.Pages"])
def test_a_reader_is_called_with_each_path_and_pages_are_joined(
    files: list[Path], reader: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    assert load_documents(files, reader=reader) == [
        Document("a.txt", "one\ntwo\nthree", "a.txt", (0, 4, 8)),
        Document("b.txt", "four\nfive", "b.txt", (0, 5)),
    ]


def test_a_function_gets_the_options() -> None:
    documents = load_documents([], reader=records, options={"count": 3})
    assert documents == [Document(f"record {number}", f"text {number}") for number in range(3)]


def test_documents_of_raytuner_are_taken_as_they_are() -> None:
    document = Document("mine", "text", "somewhere", (0, 2))
    assert load_documents([], reader=lambda: [document]) == [document]


def test_documents_of_one_file_are_numbered(tmp_path: Path) -> None:
    def parts() -> list[LlamaDocument]:
        return [LlamaDocument(text=text, metadata={"file_name": "a.md"}) for text in "xy"]

    assert [document.id for document in load_documents([], reader=parts)] == ["a.md#1", "a.md#2"]


def fails() -> None:
    raise RuntimeError("no access")


@pytest.mark.parametrize(
    ("reader", "options", "error", "message"),
    [
        (Pages, {"last": 3}, ConfigError, "reader Pages: TypeError: .*'last'; check documents.options"),
        (records, {"number": 3}, DataError, "reader records: it failed: TypeError"),
        (dict, {}, ConfigError, "reader dict: the class has no method load_data"),
        (fails, {}, DataError, "reader fails: it failed: RuntimeError: no access"),
        (lambda: [], {}, DataError, "it returned no documents"),
        (lambda: ["text"], {}, DataError, "it returned str, not documents"),
        (lambda: [LlamaDocument(text="%PDF-1.4 ...")], {}, DataError, "bytes read as text"),
        (lambda: [LlamaDocument(text="caf\ufffd")], {}, DataError, "bytes read as text"),
        (lambda: [LlamaDocument(text=" ")], {}, DataError, "is empty"),
        ("no_such_module.Reader", {}, ConfigError, "reader no_such_module.Reader: there is no module"),
    ],
)
def test_a_reader_that_cannot_be_used(
    reader: object, options: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        load_documents([], reader=reader, options=options)


def test_the_raw_bytes_that_llamaindex_returns_for_a_pdf_are_refused(tmp_path: Path) -> None:
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(tmp_path / "a.pdf"))
    canvas.drawString(50, 700, "Owls hunt at night.")
    canvas.save()
    if any(
        found.name == "llama-index-readers-file" for found in distributions()
    ):  # older versions of llama-index bring it, and read PDF
        (document,) = load_documents([], reader=SIMPLE, options={"input_dir": str(tmp_path)})
        assert document.text.strip() == "Owls hunt at night."
        return
    with pytest.raises(DataError, match="bytes read as text"):
        load_documents([], reader=SIMPLE, options={"input_dir": str(tmp_path)})


def test_a_reader_of_a_config_is_found_beside_it(tmp_path: Path) -> None:
    (tmp_path / "my_owls.py").write_text(
        "from llama_index.core import Document\n"
        "def read(times): return [Document(text='Owls hunt at night. ' * times, id_='owls')]\n"
    )
    (tmp_path / "q.jsonl").write_text('{"question": "When do owls hunt?", "document": "owls"}')
    (tmp_path / "c.yaml").write_text(
        "documents: {reader: my_owls.read, options: {times: 2}}\nquestions: q.jsonl\n"
        "pipeline: {retriever: bm25}\nspace: {top_k: [1, 2]}\n"
    )
    config = TuneConfig.load(tmp_path / "c.yaml")
    looked_at = make_plan(config)
    assert "my_owls" not in sys.modules
    said = describe(looked_at)
    assert "documents   by my_owls.read (by dotted path, not imported)\n" in said
    assert "questions   1, in blocks of 8, none held out: that takes 60, not yet compared with the documents\n" in said
    assert "objective   ndcg, max\n" in said
    with pytest.raises(ConfigError, match="imports=True"):
        run_plan(looked_at, RunLog())
    plan = make_plan(config, imports=True)
    assert [document.text for document in plan.objective.documents] == ["Owls hunt at night. " * 2]


def test_a_path_that_is_not_there_is_found_before_the_call(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file or folder"):
        load_documents(tmp_path / "missing", reader=Pages)


def test_options_without_a_reader(files: list[Path]) -> None:
    with pytest.raises(DataError, match=r"documents\.options are for a `reader`"):
        load_documents(files, options={"a": 1})
