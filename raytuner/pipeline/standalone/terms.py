"""The words that BM25 compares."""

from __future__ import annotations

import unicodedata

import bm25s
import regex

UNSPACED = ("Han", "Hiragana", "Katakana", "Bopomofo", "Thai", "Lao", "Khmer", "Myanmar")
KANA_MARKS = "ーｰﾞﾟ\u3099\u309a"
SCRIPTS = "".join(rf"\p{{Script={script}}}" for script in UNSPACED)
RUN = regex.compile(rf"((?:[[{SCRIPTS}{KANA_MARKS}]&&[\p{{L}}\p{{M}}\p{{N}}]])+)", regex.VERSION1)
FULL_WIDTH = {code + 0xFEE0: code for code in range(ord("!"), ord("~") + 1)}


def terms(text: str) -> list[str]:
    """The words of a text without stop words; where a script has no spaces, the pairs of its characters."""
    parts = RUN.split(text)
    spaced = " ".join(part.translate(FULL_WIDTH) for part in parts[::2]) if len(parts) > 1 else text
    (found,) = bm25s.tokenize([spaced], stopwords="en", return_ids=False, show_progress=False)
    for run in (unicodedata.normalize("NFKC", part) for part in parts[1::2]):
        found += [run[i : i + 2] for i in range(len(run) - 1)] or [run]
    return list(found)
