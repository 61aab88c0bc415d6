"""Words by script."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import bm25s
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytuner import datasets
from raytuner.documents.load import load_documents
from raytuner.pipeline.retrieve import _terms
from raytuner.words import apart, is_unspaced, not_latin, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("中½™", ["中", "½™"]),  # nothing else changes
        ("今天天气", ["今天", "天天", "天气"]),
        ("中", ["中"]),
        ("用 iPhone15 拍", ["用", "iPhone15", "拍"]),
        ("買了iPhone手機", ["買了", "iPhone", "手機"]),
        ("中Ａ１中", ["中", "A1", "中"]),  # full-width letters and digits
        ("コーヒー", ["コー", "ーヒ", "ヒー"]),  # the mark of long vowels belongs to the run
        ("ﾃﾞｰﾀ", ["デー", "ータ"]),  # half-width, its voiced mark a character of its own
        ("ㄅㄆ", ["ㄅㄆ"]),
        ("人々", ["人々"]),
        ("𠮷野家", ["𠮷野", "野家"]),  # beyond the basic plane
        ("สวัสดี", ["สว", "วั", "ัส", "สด", "ดี"]),  # marks above a letter are characters
        ("ຂອບ", ["ຂອ", "ອບ"]),
        ("ខ្មែរ", ["ខ្", "្ម", "មែ", "ែរ"]),
        ("မြန်", ["မြ", "ြန", "န်"]),
        ("한국어 문서", ["한국어", "문서"]),  # Korean has spaces
        ("plain  text, as ever", ["plain", "text,", "as", "ever"]),
        ("", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_punctuation_ends_a_run() -> None:
    assert apart("今天。天气，好！") == (" 。 , !", ["今天", "天气", "好"])
    assert not is_unspaced("。，！「」・")


@given(st.text())
def test_no_letter_is_lost(text: str) -> None:
    seen, given = "".join(words(text)), "".join(text.split())
    assert set(unicodedata.normalize("NFKD", seen)) == set(unicodedata.normalize("NFKD", given))


@given(st.text())
def test_apart_is_words_by_script(text: str) -> None:
    rest, runs = apart(text)
    assert not is_unspaced(rest)
    assert sorted(words(text)) == sorted([*rest.split(), *runs])


def test_texts_with_spaces_have_the_terms_of_bm25s(data_dir: Path) -> None:
    folder = data_dir / "chroma-chunking"
    documents = load_documents(folder / "corpora")
    lines = [line for document in documents for line in document.text.splitlines()]
    texts = [line for line in lines if not is_unspaced(line)]
    assert len(lines) - 10 < len(texts) < len(lines)  # one has the name of a Japanese game
    texts += [question.text for question in datasets.load(folder / "questions.csv", documents=documents)]
    assert _terms(texts) == bm25s.tokenize(texts, stopwords="en", return_ids=False, show_progress=False)


def test_mixed_texts_have_both_kinds_of_terms() -> None:
    assert _terms(["The iPhone 手機 of 2008年", "中", "the"]) == [["iphone", "2008", "手機", "年"], ["中"], []]


@pytest.mark.parametrize(
    ("texts", "share", "scripts"),
    [
        (["plain text, 100%", "café"], 0.0, ()),
        (["天气abcdef"], 0.25, ("Han",)),
        (["Ｆｕｌｌ"], 0.0, ()),
        (["日本語のテキスト"], 1.0, ("Katakana", "Han", "Hiragana")),
        (["Привет", "hello!"], 6 / 11, ("Cyrillic",)),
        (["12 34", ""], 0.0, ()),
        ([], 0.0, ()),
    ],
)
def test_letters_that_are_not_latin(texts: list[str], share: float, scripts: tuple[str, ...]) -> None:
    found = not_latin(texts)
    assert found.share == pytest.approx(share)
    assert found.scripts == scripts


def test_letters_are_counted_in_a_sample() -> None:
    cover, body = "An English cover page. " * 20, "正文" * 5000
    assert not_latin([cover + body]).share == 1.0  # from the middle
    texts = ["正文"] * 600 + ["text"] * 600
    assert not_latin(texts).share == pytest.approx(1 / 3)  # 2 letters in one half, 4 in the other
