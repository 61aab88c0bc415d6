"""Sentences, in scripts with and without spaces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytuner.documents.load import load_documents
from raytuner.pipeline.chunk import token_counter
from raytuner.pipeline.ranges import by_sentences
from raytuner.pipeline.sentences import sentence_pieces, sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two?  Three! ", ["One.", "Two?", "Three!"]),
        ("He paid $3.50. He left.", ["He paid $3.50.", "He left."]),
        ("第一句。第二句！第三句？第四", ["第一句。", "第二句！", "第三句？", "第四"]),
        ("他说：“好！”然后走了。 再见。", ["他说：“好！”", "然后走了。", "再见。"]),
        ("「行こう。」と言った。『はい！？』", ["「行こう。」", "と言った。", "『はい！？』"]),
        ("「はい。」、と言った。", ["「はい。」、と言った。"]),
        ("ﾃｽﾄ｡ﾃｽﾄ", ["ﾃｽﾄ｡", "ﾃｽﾄ"]),
        ("円周率は３．１４だ．次．", ["円周率は３．１４だ．", "次．"]),
        ("有 3.5 米。It is long. 完。", ["有 3.5 米。", "It is long.", "完。"]),
        (" \n ", []),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in sentences(text)] == expected


@given(st.lists(st.sampled_from(["A b.", " ", "\n\n", "。", "！」", "漢字", "．５", "Mr. ", "?", "”"]), max_size=30))
def test_only_white_space_is_between_sentences(parts: list[str]) -> None:
    text = "".join(parts)
    covered = 0
    for start, end in sentences(text):
        assert text[start:end] == text[start:end].strip() != ""
        assert not text[covered:start].strip()
        covered = end
    assert not text[covered:].strip()
    assert "".join(sentence_pieces(text)) == text


def test_they_are_llamaindexs_without_chinese(data_dir: Path) -> None:
    from llama_index.core.node_parser.text.utils import split_by_sentence_tokenizer

    for document in load_documents(data_dir / "chroma-chunking" / "corpora"):
        assert sentence_pieces(document.text) == split_by_sentence_tokenizer()(document.text)


def test_chinese_is_cut_at_sentence_ends(data_dir: Path) -> None:
    """Every chunk ends with a sentence, unless that sentence alone is longer than a chunk."""
    data = json.loads((data_dir / "xquad" / "xquad.zh.json").read_text(encoding="utf-8"))["data"]
    texts = [paragraph["context"] for article in data for paragraph in article["paragraphs"]]
    count, cut = token_counter(), by_sentences(128, 0)
    chunks = 0
    for text in texts:
        found = sentences(text)
        allowed = {end for _, end in found}
        allowed |= {p for start, end in found if count(text[start:end]) > 128 for p in range(start, end)}
        ends = [end for _, end in cut(text)]
        chunks += len(ends)
        assert set(ends) <= allowed
    assert chunks > 2 * len(texts)
