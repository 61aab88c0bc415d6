"""Text, HTML and Word files."""

from __future__ import annotations

from pathlib import Path

import docx
import pytest
from docx.oxml import parse_xml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.errors import ConfigError, DataError

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
MC = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'


def one(path: Path, **options: str) -> Document:
    (document,) = load_documents(path, **options)  # type: ignore[arg-type]
    return document


# Text


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "shift_jis", "utf-8"])
def test_text_is_decoded_by_its_encoding(tmp_path: Path, encoding: str) -> None:
    text = "日本語" if encoding == "shift_jis" else "café"
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    assert one(tmp_path / "a.txt", encoding=encoding).text == text


def test_an_encoding_that_there_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(ConfigError, match=r"documents\.encoding: Python knows no encoding 'utf9'"):
        one(tmp_path / "a.txt", encoding="utf9")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_text_is_kept_or_refused_as_empty(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.md").write_bytes(text.encode())
    kept = text.removeprefix("\ufeff")
    if not kept.strip():
        with pytest.raises(DataError, match="empty"):
            one(tmp_path / "a.md")
    else:
        assert one(tmp_path / "a.md").text == kept


# HTML

PAGE = """<!DOCTYPE html>
<html><head><meta charset="CHARSET"><title>Caf&eacute; &amp; bar</title>
<style>p { color: red }</style><script>document.write("<b>no</b>")</script></head>
<body>
<nav><ul><li><a href="/">Home</a><li>Menu</ul></nav>
<h1>Opening
   hours</h1>
<p>We open at <b>8&nbsp;am</b>, the café is nice.<br>Closed on Sundays.</p>
<!-- a comment -->
<pre>  a = 1
    b = 2</pre>
<table><tr><th>Day<th>Hours<tr><td>Monday<td>8 &ndash; 18</table>
<noscript><p>Turn on JavaScript</p></noscript><template><p>later</p></template>
<p>Write &lt;b&gt; for bold.</p>
<script>var more = "<p>never</p>";</script>
</body></html>
"""
TEXT = """Café & bar

Home
Menu

Opening hours

We open at 8 am, the café is nice.
Closed on Sundays.

  a = 1
    b = 2

Day\tHours
Monday\t8 – 18

Write <b> for bold."""


@pytest.mark.parametrize("charset", ["utf-8", "iso-8859-1", "windows-1252"])
def test_a_page_is_its_title_and_its_visible_text(tmp_path: Path, charset: str) -> None:
    (tmp_path / "index.html").write_bytes(PAGE.replace("CHARSET", charset).encode(charset))
    assert one(tmp_path / "index.html").text == TEXT


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        ("<p>café".encode(), "utf-8-sig"),
        ("<p>café".encode("cp1252"), "cp1252"),
        (b"\xef\xbb\xbf" + "<meta charset=latin-1><p>café".encode(), "utf-8-sig"),
        ("\ufeff<p>café".encode("utf-16-le"), "utf-8-sig"),
        ('<?xml version="1.0" encoding="ISO-8859-1"?><html><p>café</p></html>'.encode("latin-1"), "utf-8-sig"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=latin-1"><p>café'.encode("latin-1"), "utf-8-sig"),
        ("<meta charset=utf-16><p>café".encode(), "utf-8-sig"),
    ],
)
def test_a_page_is_decoded_by_its_mark_then_its_declaration(tmp_path: Path, raw: bytes, encoding: str) -> None:
    (tmp_path / "a.htm").write_bytes(raw)
    assert one(tmp_path / "a.htm", encoding=encoding).text == "café"


def test_no_browser_shows_a_title_twice(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<title>Owls</title><h1>Owls</h1><p>They hunt.</p>")
    assert one(tmp_path / "a.html").text == "Owls\n\nThey hunt."


def test_what_a_browser_hides_in_frames_and_drawings_is_left_out(tmp_path: Path) -> None:
    page = (
        "<svg><title>tip</title></svg><title>Owls</title><iframe src=x>old browser</iframe><p>Owls hunt &lt;mice&gt;."
    )
    (tmp_path / "a.html").write_text(page)
    assert load_documents(tmp_path / "a.html")[0].text == "Owls hunt <mice>."


def test_a_page_nested_deeply_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<div>" * 2000 + "deep" + "</div>" * 2000 + "<p>after")
    assert one(tmp_path / "a.html").text == "deep\n\nafter"


# Word


@pytest.fixture
def report(tmp_path: Path) -> Path:
    document = docx.Document()
    document.add_heading("Annual report", 0)
    document.add_paragraph("Sales rose.\tBy 5 %.")
    table = document.add_table(2, 2)
    for cell, text in zip((cell for row in table.rows for cell in row.cells), "abcd", strict=True):
        cell.text = text
    table.cell(1, 1).add_paragraph("more")
    document.add_heading("Outlook", 1)
    document.add_paragraph("Good 漢字.\nNext line.")
    document.save(str(tmp_path / "report.docx"))
    return tmp_path / "report.docx"


def test_a_word_file_is_its_paragraphs_and_tables_in_order(report: Path) -> None:
    assert one(report).text == ("Annual report\nSales rose.\tBy 5 %.\na\tb\nc\td more\nOutlook\nGood 漢字.\nNext line.")


def test_insertions_and_controls_are_read_but_not_deletions(report: Path) -> None:
    document = docx.Document(str(report))
    for xml in (
        f"<w:p {W}><w:r><w:t>Kept</w:t></w:r><w:ins><w:r><w:t>, inserted</w:t></w:r></w:ins>"
        "<w:del><w:r><w:delText>, deleted</w:delText></w:r></w:del>"
        "<w:moveFrom><w:r><w:t>, moved</w:t></w:r></w:moveFrom></w:p>",
        f"<w:sdt {W}><w:sdtContent><w:p><w:r><w:t>A control</w:t></w:r></w:p></w:sdtContent></w:sdt>",
        f"<w:p {W} {MC}><w:r><mc:AlternateContent><mc:Choice><w:p><w:r><w:t>A box</w:t></w:r></w:p></mc:Choice>"
        "<mc:Fallback><w:p><w:r><w:t>A box</w:t></w:r></w:p></mc:Fallback></mc:AlternateContent></w:r></w:p>",
    ):
        document.element.body.insert(0, parse_xml(xml))
    document.save(str(report))
    assert one(report).text.startswith("\nA box\nA control\nKept, inserted\nAnnual report\n")
