"""What was read once from a file that takes time is not read again, until it changes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import docx
import pytest
from reportlab.pdfgen.canvas import Canvas

from raytuner.documents import formats, kept
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.errors import DataError

pytestmark = pytest.mark.usefixtures("empty_cache")


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with a file of each format that is kept, and one of text."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "page.html").write_text("<title>Page</title><p>One &amp; two</p>", encoding="utf-8")
    word = docx.Document()
    word.add_paragraph("A paragraph of Word.")
    word.save(str(folder / "word.docx"))
    canvas = Canvas(str(folder / "pages.pdf"))
    for text in ("The first page.", "", "The third page."):
        canvas.drawString(50, 700, text)
        canvas.showPage()
    canvas.save()
    (folder / "text.txt").write_text("Text.", encoding="utf-8")
    return folder


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are really read, in order."""
    names: list[str] = []
    call = formats.Job.__call__

    def recorded(job: formats.Job) -> list[Document]:
        names.append(job.file.path.name)
        return call(job)

    monkeypatch.setattr(formats.Job, "__call__", recorded)
    return names


def again(read: list[str], *paths: Path) -> tuple[Sequence[Document], list[str]]:
    read.clear()
    return load_documents(paths), sorted(read)


def test_only_text_is_read_again(files: Path, read: list[str], caplog: pytest.LogCaptureFixture) -> None:
    first, names = again(read, files)
    assert names == ["page.html", "pages.pdf", "text.txt", "word.docx"]
    said = [record.message for record in caplog.records if "1 of 3 pages hold no text" in record.message]
    assert len(said) == 1
    caplog.clear()
    assert again(read, files) == (first, ["text.txt"])
    assert [record.message for record in caplog.records if "pages hold no text" in record.message] == said
    by_name = {document.id: document for document in first}
    assert by_name["page.html"].text == "Page\n\nOne & two"
    assert by_name["pages.pdf"].page(by_name["pages.pdf"].text.index("third")) == 3


def test_a_copy_is_known_by_its_content_and_keeps_its_own_name(files: Path, read: list[str], tmp_path: Path) -> None:
    again(read, files)
    copy = tmp_path / "another.pdf"
    shutil.copy(files / "pages.pdf", copy)
    (document,), names = again(read, copy)
    assert (document.id, document.source, names) == ("another.pdf", str(copy), [])


def test_a_changed_file_is_read_again_and_no_other(files: Path, read: list[str]) -> None:
    again(read, files)
    (files / "page.html").write_text("<p>Three", encoding="utf-8")
    documents, names = again(read, files)
    assert names == ["page.html", "text.txt"]
    assert "Three" in [document.text for document in documents]


def test_another_encoding_is_another_text(tmp_path: Path, read: list[str]) -> None:
    path = tmp_path / "page.html"
    path.write_bytes("<p>caf\xe9".encode("cp1252"))
    (western,) = load_documents(path, encoding="cp1252")
    (greek,) = load_documents(path, encoding="iso8859-7")
    assert (western.text, greek.text) == ("caf\xe9", "caf\u03b9")
    assert read == ["page.html", "page.html"]


def test_other_versions_of_what_reads_are_other_keys(
    files: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    again(read, files)
    monkeypatch.setattr(kept, "installed_version", lambda name: "0.1" if name == "pypdf" else "same")
    assert again(read, files / "pages.pdf")[1] == ["pages.pdf"]


def test_a_page_without_text_is_an_error_each_time(tmp_path: Path) -> None:
    path = tmp_path / "empty.html"
    path.write_text("<script>1</script>", encoding="utf-8")
    (tmp_path / "full.html").write_text("<p>text", encoding="utf-8")
    for _ in range(2):
        assert [document.id for document in load_documents(tmp_path)] == ["full.html"]
        with pytest.raises(DataError, match="holds no text"):
            load_documents(path)


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "page.html"
    path.write_text("<p>before", encoding="utf-8")
    call = formats.Job.__call__

    def slow(job: formats.Job) -> list[Document]:
        path.write_text("<p>after", encoding="utf-8")
        return call(job)

    monkeypatch.setattr(formats.Job, "__call__", slow)
    with pytest.raises(DataError, match=r"page\.html: the file was changed while it was read"):
        load_documents(path)
    monkeypatch.setattr(formats.Job, "__call__", call)
    assert [document.text for document in load_documents(path)] == ["after"]
