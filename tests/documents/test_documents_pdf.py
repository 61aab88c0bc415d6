"""PDF, read page by page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pypdf import PdfReader, PdfWriter
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen.canvas import Canvas

from raytuner.documents import load, pdf
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.errors import DataError

LINES_A_PAGE = 45


def write_pdf(path: Path, pages: Sequence[Sequence[str]]) -> Path:
    """A PDF with some lines on each page."""
    canvas = Canvas(str(path), pagesize=A4)
    for lines in pages:
        text = canvas.beginText(50, 780)
        for line in lines:
            text.textLine(line)
        canvas.drawText(text)
        canvas.showPage()
    canvas.save()
    return path


@pytest.fixture(scope="module")
def report(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[list[str]]]:
    """A report of more than 100 pages, and the lines on each of them."""
    text = (data_dir / "chroma-chunking" / "corpora" / "finance.md").read_text().encode("ascii", "ignore").decode()
    lines = textwrap.wrap(text[:450_000], 90)
    pages = [lines[start : start + LINES_A_PAGE] for start in range(0, len(lines), LINES_A_PAGE)]
    return write_pdf(tmp_path_factory.mktemp("pdf") / "report.pdf", pages), pages


def words(text: str) -> list[str]:
    return text.split()


def pages_of(document: Document) -> Iterator[str]:
    for start, end in zip(document.pages, (*document.pages[1:], len(document.text)), strict=True):
        yield document.text[start:end]


def test_a_long_report_is_read_with_its_pages(report: tuple[Path, list[list[str]]]) -> None:
    path, pages = report
    (document,) = load_documents(path)
    assert len(pages) > 100
    assert (document.id, document.source) == ("report.pdf", str(path))
    assert [words(text) for text in pages_of(document)] == [words(" ".join(lines)) for lines in pages]
    assert not {"%PDF", "\ufffd", "endobj"} & set(words(document.text))
    sentence = pages[99][20]
    assert document.page(document.text.index(sentence)) == 100


def test_processes_read_the_same_pages(
    report: tuple[Path, list[list[str]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path, _ = report
    monkeypatch.setattr(load, "WORTH_A_POOL", 10**9)
    monkeypatch.setenv("RAYTUNER_CACHE", str(tmp_path / "first"))
    here = load_documents(path)
    monkeypatch.setattr(load, "WORTH_A_POOL", 0)
    monkeypatch.setenv("RAYTUNER_CACHE", str(tmp_path / "second"))
    calls: list[tuple[int, int]] = []
    assert load_documents(path, progress=lambda done, total: calls.append((done, total))) == here
    assert calls[-1] == (len(calls), len(calls))
    assert len(calls) > 4


def encrypted(source: Path, path: Path, password: str, algorithm: str) -> Path:
    writer = PdfWriter(clone_from=source)
    writer.encrypt(password, "owner", algorithm=algorithm)
    writer.write(path)
    return path


@given(texts=st.lists(st.text(), min_size=1))
def test_joined_pages_are_found_again(texts: list[str]) -> None:
    document = pdf.join([Document("a", text, "a.pdf", (0,)) for text in texts])
    assert [document.text[page : page + len(text)] for page, text in zip(document.pages, texts, strict=True)] == texts
    assert list(pages_of(document)) == [f"{text}\n" for text in texts[:-1]] + texts[-1:]


@pytest.fixture
def note(tmp_path: Path) -> Path:
    return write_pdf(tmp_path / "note.pdf", [["Owls hunt at night."], ["Bees make honey."]])


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-256"])
def test_an_encrypted_pdf_is_refused_unless_its_password_is_empty(note: Path, algorithm: str) -> None:
    with pytest.raises(DataError, match=r"locked\.pdf: an encrypted PDF; save it without its password"):
        load_documents(encrypted(note, note.with_name("locked.pdf"), "secret", algorithm))
    (document,) = load_documents(encrypted(note, note.with_name("open.pdf"), "", algorithm))
    assert words(document.text) == words("Owls hunt at night. Bees make honey.")


@pytest.mark.parametrize("kept", [20, 0.5, 0.9])
def test_a_pdf_that_is_cut_off_is_refused_or_read_whole(note: Path, kept: float) -> None:
    raw = note.read_bytes()
    note.write_bytes(raw[: int(kept if kept > 1 else kept * len(raw))])
    try:
        (document,) = load_documents(note)
    except DataError as error:
        assert str(error).startswith(f"{note}: a broken PDF")
    else:
        assert words(document.text) == words("Owls hunt at night. Bees make honey.")


def test_a_broken_page_is_named(note: Path) -> None:
    writer = PdfWriter(clone_from=note)
    raw = writer.pages[1]["/Contents"].get_object()
    raw._data = b"\x00\xff" * 40
    writer.write(note)
    with pytest.raises(DataError, match=r"note\.pdf: page 2 cannot be read"):
        load_documents(note)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """Three pages without text."""
    writer = PdfWriter()
    for _ in range(3):
        writer.add_blank_page(200, 200)
    writer.write(tmp_path / "scan.pdf")
    return tmp_path / "scan.pdf"


def test_a_pdf_without_text_needs_ocr(scan: Path) -> None:
    with pytest.raises(DataError, match=r"scan\.pdf: a PDF without text on its 3 pages, .* OCR"):
        load_documents(scan)


def test_pages_without_text_are_counted(note: Path, scan: Path, caplog: pytest.LogCaptureFixture) -> None:
    writer = PdfWriter(clone_from=note)
    writer.append(PdfReader(scan))
    writer.write(note)
    (document,) = load_documents(note)
    assert "3 of 5 pages hold no text" in caplog.text
    assert [document.page(document.text.index(word)) for word in ("Owls", "Bees")] == [1, 2]
    assert len(document.pages) == 5


def test_characters_that_a_font_does_not_name_become_spaces(caplog: pytest.LogCaptureFixture) -> None:
    document = pdf.check_pdf(Document("a", "un\ufffdknown", "a.pdf", (0,)))
    assert document.text == "un known"
    assert "a.pdf: 1 characters" in caplog.text


def test_a_pdf_in_a_folder_that_is_broken_is_an_error_too(note: Path) -> None:
    (note.parent / "other.pdf").write_bytes(b"%PDF-1.7\n")
    with pytest.raises(DataError, match=r"other\.pdf: a broken PDF"):
        load_documents(note.parent)
