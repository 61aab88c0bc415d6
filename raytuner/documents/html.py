"""Pages of HTML: their text, one line for each block."""

from __future__ import annotations

import codecs
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from raytuner.documents.document import Document
from raytuner.documents.text import NotDocumentsError, decode, read_bytes
from raytuner.errors import DataError

if TYPE_CHECKING:
    from bs4 import BeautifulSoup

WITHOUT_TEXT = ["script", "style", "template", "noscript", "noframes", "iframe", "head", "title"]
CELLS = ["td", "th"]
LINES = ["li", "tr", "dt", "dd", "option"]
BLOCKS = re.compile(
    "^(address|article|aside|blockquote|caption|center|details|dialog|div|dl|fieldset|figcaption|figure|footer|form|"
    "h[1-6]|header|hr|legend|main|nav|ol|p|pre|section|summary|table|tbody|tfoot|thead|ul)$"
)
# What browsers take these names for: https://encoding.spec.whatwg.org/#names-and-labels and, for UTF-16 in a page
# whose declaration could be read as ASCII, https://html.spec.whatwg.org/#concept-get-xml-encoding-when-sniffing.
BROWSERS = {"iso8859-1": "cp1252", "ascii": "cp1252", "utf-16": "utf-8", "utf-16-le": "utf-8", "utf-16-be": "utf-8"}


def read_html(path: Path, name: str, encoding: str) -> list[Document]:
    """One document with the page's title and text; entities are decoded, scripts and styles dropped."""
    soup = _parsed(_decoded(path, encoding))
    titles = [title for title in soup("title") if title.find_parent("svg") is None]
    title = " ".join(titles[0].get_text().split()) if titles else ""
    text = _text(soup)
    if not text:
        raise NotDocumentsError(f"{path}: the page holds no text; save it as a browser shows it, or remove it")
    return [Document(name, text if text.startswith(title) else f"{title}\n\n{text}", str(path))]


def _decoded(path: Path, encoding: str) -> str:
    """By byte order mark, else as the page declares, else by `encoding`."""
    from bs4.dammit import EncodingDetector

    raw, mark = EncodingDetector.strip_byte_order_mark(read_bytes(path))
    declared = EncodingDetector.find_declared_encoding(raw, is_html=True)
    if mark or not declared:
        return decode(path, raw, mark or encoding)
    try:
        known = codecs.lookup(declared).name
    except LookupError:
        raise DataError(f"{path}: the page declares the unknown charset {declared!r}; correct it") from None
    return decode(path, raw, BROWSERS.get(known, known), "the page declares this charset; correct its declaration")


def _parsed(markup: str) -> BeautifulSoup:
    from bs4 import BeautifulSoup

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pages that begin as XML does, or are as short as a file name
        return BeautifulSoup(markup, "lxml")


def _text(soup: BeautifulSoup) -> str:
    for element in soup(WITHOUT_TEXT):
        element.decompose()
    for string in soup.find_all(string=True):
        if string.find_parent("pre") is None:
            string.replace_with(type(string)(re.sub(r"\s+", " ", string)))
    for element in soup("br"):
        element.replace_with("\n")
    for element in soup(CELLS):
        element.insert_after("\t")
    for element in soup(LINES):
        element.insert_before("\n")
    for element in soup(BLOCKS):
        element.insert_before("\n")
        element.insert_after("\n")
    return _tidy(soup.get_text())


def _tidy(text: str) -> str:
    """Without spaces at the ends of lines, and with one empty line at the most."""
    text = re.sub(r"[^\S\n]+\n", "\n", text.replace("\r\n", "\n"))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"\n (?=\S)", "\n", text)).strip()
