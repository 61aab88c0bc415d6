"""HTML."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from bs4.dammit import EncodingDetector

ENCODING = "utf-8-sig"
# What browsers take these names for: https://encoding.spec.whatwg.org/#names-and-labels
BROWSERS = {"iso8859-1": "cp1252", "ascii": "cp1252", "utf-16": "utf-8", "utf-16-le": "utf-8", "utf-16-be": "utf-8"}
WITHOUT_TEXT = ["script", "style", "template", "noscript", "noframes", "iframe", "head", "title"]
LINES = ["li", "tr", "dt", "dd", "option"]
BLOCKS = re.compile(
    "^(address|article|aside|blockquote|caption|center|details|dialog|div|dl|fieldset|figcaption|figure|footer|form|"
    "h[1-6]|header|hr|legend|main|nav|ol|p|pre|section|summary|table|tbody|tfoot|thead|ul)$"
)


def read_html(file: Path) -> str:
    """The title and the text of a page, a line for each block; nothing if there is no text."""
    soup = BeautifulSoup(decoded(file.read_bytes()), "lxml")
    titles = [title for title in soup("title") if title.find_parent("svg") is None]
    title = " ".join(titles[0].get_text().split()) if titles else ""
    text = text_of(soup)
    return text if text.startswith(title) or not text else f"{title}\n\n{text}"


def decoded(content: bytes) -> str:
    """A page by its byte order mark, else as it declares, else by `ENCODING`."""
    raw, mark = EncodingDetector.strip_byte_order_mark(content)
    declared = EncodingDetector.find_declared_encoding(raw, is_html=True)
    if mark or not declared:
        return str(raw.decode(mark or ENCODING))
    known = codecs.lookup(declared).name
    return str(raw.decode(BROWSERS.get(known, known)))


def text_of(soup: Any) -> str:
    """The text of a page, without spaces at the ends of lines, and with one empty line at the most."""
    for element in soup(WITHOUT_TEXT):
        element.decompose()
    for string in soup.find_all(string=True):
        if string.find_parent("pre") is None:
            string.replace_with(type(string)(re.sub(r"\s+", " ", string)))
    for element in soup("br"):
        element.replace_with("\n")
    for element in soup(["td", "th"]):
        element.insert_after("\t")
    for element in soup(LINES):
        element.insert_before("\n")
    for element in soup(BLOCKS):
        element.insert_before("\n")
        element.insert_after("\n")
    text = re.sub(r"[^\S\n]+\n", "\n", soup.get_text().replace("\r\n", "\n"))
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"\n (?=\S)", "\n", text)).strip()
