"""Where sentences end."""

from __future__ import annotations

import re
from itertools import pairwise

from nltk.tokenize import PunktSentenceTokenizer

# Ends of sentences in Chinese and Japanese, with the quotation marks and brackets that close behind them.
CJK_END = re.compile(r"(?:[。！？｡]|．(?![0-9０-９]))+[」』”’）】》]*(?![。！？｡．」』”’）】》，、；：])")


def sentence_pieces(text: str) -> list[str]:
    """The sentences of a text, each with the white space behind it."""
    starts = {start for start, _ in PunktSentenceTokenizer().span_tokenize(text)}
    for end in (match.end() for match in CJK_END.finditer(text)):
        starts.add(len(text) - len(text[end:].lstrip()))
    return [text[start:end] for start, end in pairwise(sorted({0, len(text)} | starts))]


def sentences(text: str) -> list[str]:
    """The sentences of a text, without the white space between them."""
    return [piece.strip() for piece in sentence_pieces(text) if piece.strip()]
