"""Where sentences begin and end, in scripts with spaces and in Chinese and Japanese."""

from __future__ import annotations

import re
from itertools import pairwise

from raytuner.pipeline.locate import Range, trim
from raytuner.pipeline.nltk_data import use_readable_nltk_data

_ENDS, _CLOSING = "。！？｡．", "」』”’）】》"
# A full-width point before a digit is a decimal point, and what goes on after a quotation is no new sentence.
_CJK_END = re.compile(rf"(?:[。！？｡]|．(?![0-9０-９]))+[{_CLOSING}]*(?![{_ENDS}{_CLOSING}，、；：])")


def sentences(text: str) -> list[Range]:
    """The sentences of a text.

    They are those of NLTK's punkt as LlamaIndex's splitters use it, cut further after 。！？｡．
    and the quotation marks and brackets that close behind them.

    Args:
        text: Any text.

    Returns:
        For each sentence its (start, end); only white space lies between them.
    """
    ranges = (trim(text, start, end) for start, end in pairwise(_bounds(text)))
    return [(start, end) for start, end in ranges if start < end]


def sentence_pieces(text: str) -> list[str]:
    """The sentences, each with the white space behind it, as LlamaIndex's splitters want them."""
    return [text[start:end] for start, end in pairwise(_bounds(text))]


def _bounds(text: str) -> list[int]:
    use_readable_nltk_data()
    from llama_index.core.utils import globals_helper

    starts = {start for start, _ in globals_helper.punkt_tokenizer.span_tokenize(text)}
    starts |= {_after_space(text, match.end()) for match in _CJK_END.finditer(text)}
    return sorted({0, len(text)} | starts)


def _after_space(text: str, position: int) -> int:
    return trim(text, position, len(text))[0]
