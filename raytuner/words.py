"""Words by script: texts of scripts that put no spaces between words are split into pairs of characters.

Pairs (bigrams) need no dictionary and rank about as well as a segmenter does (Kwok, "Comparing representations in
Chinese information retrieval", SIGIR 1997); Lucene's CJKAnalyzer splits in the same way.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

UNSPACED = ("Han", "Hiragana", "Katakana", "Bopomofo", "Thai", "Lao", "Khmer", "Myanmar")
"""The scripts that put no spaces between words, by Unicode's names."""

SAMPLED_TEXTS, SAMPLED_CHARACTERS = 200, 500
_SCRIPT_NAMES = {"Cjk": "Han"}
_FULL_WIDTH = {code + 0xFEE0: code for code in range(ord("!"), ord("~") + 1)}
_KANA_MARKS = "ーｰﾞﾟ\u3099\u309a"  # of long vowels and of voice; Hiragana and Katakana share them


class Letters(NamedTuple):
    """The letters of a text that are not Latin.

    Attributes:
        share: Their share of all letters, 0 to 1.
        scripts: The scripts of most of them, the most frequent first.
    """

    share: float
    scripts: tuple[str, ...]


def is_unspaced(text: str) -> bool:
    """Whether a text holds characters of a script without spaces (`UNSPACED`)."""
    return not text.isascii() and _runs().search(text) is not None


def words(text: str) -> list[str]:
    """The words of a text, in their order.

    Args:
        text: Any text.

    Returns:
        Where white space ends, a word ends. A run of characters of `UNSPACED` gives each pair of neighbours in it;
        a run of one character gives that character. In texts with such runs, full-width letters, digits and marks
        are the usual ones, and half-width Katakana the full ones.
    """
    if not is_unspaced(text):
        return text.split()
    pieces = _pieces(text)
    return [word for i, piece in enumerate(pieces) for word in (bigrams(piece) if i % 2 else piece.split())]


def apart(text: str) -> tuple[str, list[str]]:
    """Take a text apart, for a tokenizer that knows spaced scripts only.

    Args:
        text: Any text.

    Returns:
        The text without its runs of `UNSPACED`, and their words as `words` gives them. A text without such runs is
        returned as it is.
    """
    if not is_unspaced(text):
        return text, []
    pieces = _pieces(text)
    return " ".join(pieces[::2]), [pair for run in pieces[1::2] for pair in bigrams(run)]


def bigrams(run: str) -> list[str]:
    """The pairs of neighbouring characters; a single character is itself the only one."""
    return [run[i : i + 2] for i in range(len(run) - 1)] or [run]


def _pieces(text: str) -> list[str]:
    """What is between runs, and the runs, by turns."""
    pieces: list[str] = _runs().split(text)
    pieces[::2] = [piece.translate(_FULL_WIDTH) for piece in pieces[::2]]
    pieces[1::2] = [unicodedata.normalize("NFKC", run) for run in pieces[1::2]]
    return pieces


def not_latin(texts: Sequence[str]) -> Letters:
    """Which letters of some texts are not Latin, from a sample of the texts.

    Args:
        texts: The texts. At most `SAMPLED_TEXTS` of them, evenly spread, are looked at, and
            `SAMPLED_CHARACTERS` from the middle of each.

    Returns:
        The share of these letters, 0 if there are no letters at all, and their scripts: those that make up at least
        a tenth of them.
    """
    counts = Counter(_script(letter) for letter in _letters(texts))
    total = counts.total()
    del counts["Latin"]
    others = counts.total()
    scripts = tuple(script for script, count in counts.most_common() if 10 * count >= others)
    return Letters(others / total if total else 0.0, scripts)


def _letters(texts: Sequence[str]) -> Iterable[str]:
    step = max(1, -(-len(texts) // SAMPLED_TEXTS))
    for text in islice(texts, 0, None, step):
        start = max(0, len(text) - SAMPLED_CHARACTERS) // 2
        piece = unicodedata.normalize("NFKC", text[start : start + SAMPLED_CHARACTERS])
        yield from filter(str.isalpha, piece)


def _script(letter: str) -> str:
    """The script of a letter; Unicode's name of a letter begins with it."""
    name = unicodedata.name(letter, "unknown").partition(" ")[0].capitalize()
    return _SCRIPT_NAMES.get(name, name)


@cache
def _runs() -> Any:
    """A pattern of one run."""
    import regex  # the standard library knows no scripts

    scripts = "".join(rf"\p{{Script={script}}}" for script in UNSPACED)
    return regex.compile(rf"((?:[[{scripts}{_KANA_MARKS}]&&[\p{{L}}\p{{M}}\p{{N}}]])+)", regex.VERSION1)
