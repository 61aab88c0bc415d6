"""Chunks and their exact character ranges."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.errors import ConfigError, RaytunerError
from raytuner.pipeline.chunk import Chunk, check_chunking, locate, overlap_tokens, split, token_counter

SPLITTERS = ["sentence", "token"]
TEXTS = {
    "one word": "word " * 1500,
    "one letter": "a" * 1500,
    "one sentence": "The same sentence again. " * 250,
    "table": "| 0 | 0 | 0 |\n" * 150,
    "leaders": "Introduction ........................................ 5\n" * 60,
    "punctuation": "a...b,,;;!! " * 200,
    "cjk": "漢字仮名交じり文。テスト？はい！" * 80,
    "emoji": "👩‍👩‍👧‍👦🙂 ok " * 100,
    "no spaces": "👩‍👩‍👧‍👦" * 150,
    "crlf": "Line one.\r\n\r\n\r\nLine two, more.\r\n" * 80,
    "odd spaces": "a\u00a0b\u2003c\u200b\x1c\x85d\ufeff\t\t" * 150,
    "a gap": "A b." + " " * 3000 + "\n" * 3000 + "C d. " * 200,
    "repeats, then ends": "again and " * 400 + "the end. " + "again and " * 20,
    "short": "\n Hi. \n",
    "white space": " \n\t ",
}
fragments = [
    "a",
    "ab ",
    "Yes. ",
    "no, ",
    "\n",
    "\n\n\n",
    "\r\n",
    " ",
    "\t",
    "🙂",
    "漢字。",
    "...",
    "word",
    "\u00a0",
    "e\u0301",
]
texts = st.lists(st.sampled_from(fragments), max_size=150).map("".join)


def chunks_of(text: str, **params: Any) -> list[Chunk]:
    return split.run([Document("d", text)], **params)


def assert_exact(text: str, chunks: list[Chunk]) -> None:
    """Every chunk is where it says, ranges never go back, and only white space is left out."""
    covered = 0
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text
        assert chunk.tokens == token_counter()(chunk.text)
        assert not text[covered : chunk.start].strip()
        covered = chunk.end
    assert not text[covered:].strip()
    assert all(before.start <= after.start and before.end <= after.end for before, after in pairwise(chunks))


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize(("size", "overlap"), [(64, 0), (64, 0.3), (256, 128)])
def test_ranges(splitter: str, name: str, size: int, overlap: float) -> None:
    chunks = chunks_of(TEXTS[name], splitter=splitter, chunk_size=size, chunk_overlap=overlap)
    assert_exact(TEXTS[name], chunks)
    assert all(chunk.tokens <= size for chunk in chunks)
    assert chunks or not TEXTS[name].strip()


@settings(deadline=None, max_examples=40)
@given(
    text=texts,
    splitter=st.sampled_from(SPLITTERS),
    size=st.sampled_from([12, 40]),
    share=st.sampled_from([0, 0.2, 0.6]),
)
def test_ranges_of_any_text(text: str, splitter: str, size: int, share: float) -> None:
    assert_exact(text, chunks_of(text, splitter=splitter, chunk_size=size, chunk_overlap=share))


@pytest.mark.parametrize("splitter", SPLITTERS)
@pytest.mark.parametrize(
    ("file", "size", "overlap"),
    [("llama2/llama2_paper.md", 1024, 200), ("chroma-chunking/corpora/wikitexts.md", 128, 0.25)],
)
def test_ranges_in_real_documents(data_dir: Path, splitter: str, file: str, size: int, overlap: float) -> None:
    (document,) = load_documents(data_dir / file)
    chunks = chunks_of(document.text, splitter=splitter, chunk_size=size, chunk_overlap=overlap)
    assert_exact(document.text, chunks)
    assert 0.9 * size < max(chunk.tokens for chunk in chunks) <= 1.05 * size


def test_chunks_of_several_documents() -> None:
    documents = [Document("a", "One. " * 100), Document("b", "Two."), Document("c", "Three. " * 100)]
    chunks = split.run(documents, chunk_size=64, chunk_overlap=0)
    assert sorted({chunk.document for chunk in chunks}) == [0, 1, 2]
    assert [chunk.document for chunk in chunks] == sorted(chunk.document for chunk in chunks)
    for chunk in chunks:
        assert documents[chunk.document].text[chunk.start : chunk.end] == chunk.text


def test_a_document_shorter_than_a_chunk_is_one_chunk() -> None:
    assert chunks_of("Hi there.") == [Chunk(0, 0, 9, 3, "Hi there.")]


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_a_fraction_is_that_many_tokens(splitter: str) -> None:
    text = " ".join(f"This is sentence {number}." for number in range(300))
    fraction = chunks_of(text, splitter=splitter, chunk_size=64, chunk_overlap=0.25)
    assert fraction == chunks_of(text, splitter=splitter, chunk_size=64, chunk_overlap=16)
    assert all(before.end > after.start for before, after in pairwise(fraction))
    plain = chunks_of(text, splitter=splitter, chunk_size=64, chunk_overlap=0)
    assert all(before.end <= after.start for before, after in pairwise(plain))


@pytest.mark.parametrize(
    ("size", "overlap", "tokens"), [(512, 0.1, 51), (64, 0, 0), (64, 0.25, 16), (64, 1, 1), (64, 20.0, 20)]
)
def test_overlap_in_tokens(size: int, overlap: float, tokens: int) -> None:
    assert overlap_tokens(size, overlap) == tokens


@pytest.mark.parametrize("overlap", [64, 65, 0.999])
def test_an_overlap_as_large_as_the_chunk_is_refused(overlap: float) -> None:
    with pytest.raises(ConfigError, match=f"chunk_overlap {overlap:g} .* chunk_size 64"):
        check_chunking({"chunk_size": 64, "chunk_overlap": overlap})
    check_chunking({"chunk_size": 64, "chunk_overlap": 63})


def test_metadata_takes_no_tokens() -> None:
    text = "word " * 500
    assert split.run([Document("a/very/long/path/" * 50, text)], chunk_size=64) == chunks_of(text, chunk_size=64)


@pytest.mark.parametrize(
    ("text", "pieces", "expected"),
    [
        ("a b", ["a", "b"], [(0, 1), (2, 3)]),
        (" \n a  ", ["a"], [(3, 4)]),
        ("abcabc", ["abc", "abc"], [(0, 3), (3, 6)]),
        ("aaaa", ["aa", "aa", "aa"], [(0, 2), (1, 3), (2, 4)]),
        ("x x x y", ["x x", "x y"], [(0, 3), (4, 7)]),
        ("", [], []),
    ],
)
def test_locate(text: str, pieces: list[str], expected: list[tuple[int, int]]) -> None:
    assert locate(text, pieces) == expected


@pytest.mark.parametrize(("text", "pieces"), [("a b c", ["a", "c"]), ("a b", ["b", "a"]), ("ab", ["aB"])])
def test_a_changed_or_lost_text_is_noticed(text: str, pieces: list[str]) -> None:
    with pytest.raises(RaytunerError, match="changed the text"):
        locate(text, pieces)
