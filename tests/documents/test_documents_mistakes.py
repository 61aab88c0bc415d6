"""Documents that cannot be used: one line that names the file and the fix, exit code 2, no traceback."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import docx
import pytest
from pypdf import PdfWriter
from reportlab.pdfgen.canvas import Canvas

from raytuner.cli import main


def blank_pdf(path: Path) -> None:
    writer = PdfWriter()
    writer.add_blank_page(200, 200)
    writer.write(path)


def encrypted_pdf(path: Path) -> None:
    canvas = Canvas(str(path), encrypt="secret")
    canvas.drawString(50, 700, "Owls hunt at night.")
    canvas.save()


def word_file(path: Path) -> None:
    document = docx.Document()
    document.add_paragraph("Owls hunt at night.")
    document.save(path)


def content(raw: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(raw)


MISTAKES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no such file": ("a.md", lambda path: None, "a.md: no such file or folder; check `documents`"),
    "an empty folder": ("docs", Path.mkdir, "docs: the folder holds no documents; put some there"),
    "a folder of other files": ("docs", lambda path: (path.mkdir(), (path / "a.zip").touch()), "holds no documents"),
    "a PDF without text": ("a.pdf", blank_pdf, "a.pdf: a PDF without text on its 1 pages, so probably scanned"),
    "a broken PDF": ("a.pdf", content(b"%PDF-1.7\n1 0 obj"), "a.pdf: a broken PDF"),
    "an encrypted PDF": ("a.pdf", encrypted_pdf, "a.pdf: an encrypted PDF; save it without its password"),
    "a 0-byte text": ("a.txt", content(b""), "a.txt: the file is empty; remove it or put text into it"),
    "a 0-byte PDF": ("a.pdf", content(b""), "a.pdf: the file is empty"),
    "a 0-byte Word file": ("a.docx", content(b""), "a.docx: the file is empty"),
    "a 0-byte table": ("a.csv", content(b""), "a.csv: the file is empty"),
    "a text of white space": ("a.txt", content(b" \n\t\n"), "a.txt: the file is empty"),
    "a wrong encoding": (
        "a.txt",
        content(b"caf\xe9"),
        "a.txt: byte 3 is not UTF-8; convert the file to UTF-8, or name",
    ),
    "a wrong encoding of a page": ("a.html", content(b"<p>caf\xe9"), "a.html: byte 6 is not UTF-8"),
    "a page that declares another": ("a.html", content(b"<meta charset=utf-8>\xe9"), "the page declares this charset"),
    "an unknown charset": ("a.html", content(b"<meta charset=utf-9><p>a"), "declares the unknown charset 'utf-9'"),
    "a page without text": ("a.html", content(b"<script>1</script>"), "a.html: the page holds no text"),
    "a binary file named .txt": ("a.txt", content(b"\x7fELF\x01\x00\x00"), "a.txt: a binary file, not text"),
    "a PDF named .txt": ("a.txt", content(b"%PDF-1.4\n"), "a.txt: a PDF, not text; rename it to a.pdf"),
    "a broken Word file": ("a.docx", content(b"PK\x03\x04"), "a.docx: not a Word file that can be read"),
    "an old Word file": ("a.doc", content(b"\xd0\xcf"), "a.doc: .doc extension; documents are"),
    "a file without a suffix": ("README", content(b"text"), "README: no extension; documents are"),
    "a text named .parquet": ("a.parquet", content(b"id,text\n1,a\n"), "a.parquet: not a Parquet file; give the file"),
    "a page named .parquet": (
        "a.parquet",
        content(b"<html><p>a"),
        "a.parquet: an HTML page, not a Parquet file; rename it to a.html",
    ),
    "a page named .docx": (
        "a.docx",
        content(b"\n<!DOCTYPE html><p>a"),
        "a.docx: an HTML page, not a Word file; rename it to a.html",
    ),
    "a page named .pdf": ("a.pdf", content(b"<HTML><p>a"), "a.pdf: an HTML page, not a PDF; rename it to a.html"),
    "a PDF named .docx": ("a.docx", content(b"%PDF-1.4\n"), "a.docx: a PDF, not a Word file; rename it to a.pdf"),
    "a PDF named .html": ("a.html", content(b"%PDF-1.4\n"), "a.html: a PDF, not text; rename it to a.pdf"),
    "a Word file named .html": ("a.html", word_file, "a.html: a Word file, not text; rename it to a.docx"),
    "a Word file named .txt": ("a.txt", word_file, "a.txt: a Word file, not text; rename it to a.docx"),
    "a Word file named .csv": ("a.csv", word_file, "a.csv: a Word file, not text; rename it to a.docx"),
    "an Excel file named .csv": (
        "a.csv",
        content(b"PK\x03\x04..xl/workbook.xml"),
        "a.csv: an Excel file, not text; save it as CSV",
    ),
    "an archive named .md": ("a.md", content(b"PK\x03\x04a.md"), "a.md: a zip archive, not text; unpack it"),
    "an old Word file named .docx": (
        "a.docx",
        content(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        "or an old .doc); save it again as .docx",
    ),
    "UTF-16": (
        "a.txt",
        content("Owls".encode("utf-16")),
        "a.txt: UTF-16 by its byte order mark, not UTF-8; convert the file to UTF-8, or name its encoding: "
        "documents: {path: ..., encoding: utf-16}",
    ),
    "a malformed table": ("a.csv", content(b'text\n"never closed\n'), "a.csv: line 2: malformed CSV"),
    "malformed JSON lines": ("a.jsonl", content(b'{"text": "a"}\n{"text": \n'), "a.jsonl: line 2: malformed JSON"),
    "a question set": (
        "a.jsonl",
        content(b'{"question": "Why?"}'),
        "a.jsonl: looks like a question set; name it under",
    ),
    "JSON of another form": ("a.json", content(b"{}"), "a.json: JSON of no known form"),
    "a broken Parquet file": ("a.parquet", content(b"PAR1"), "a.parquet: not a Parquet file that can be read"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path, mistake: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name, make, message = MISTAKES[mistake]
    make(tmp_path / name)
    (tmp_path / "q.jsonl").write_text('{"question": "What?", "answer": "That."}')
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"documents": name, "questions": "q.jsonl", "space": {"top_k": [1, 2]}}))
    monkeypatch.setattr(sys, "argv", ["raytuner", "tune", str(config)])
    with pytest.raises(SystemExit) as stop:
        main()
    (line,) = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2
    assert line.startswith("error: ")
    assert message in line
    assert not (tmp_path / "runs").exists()
