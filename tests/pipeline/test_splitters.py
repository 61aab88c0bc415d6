"""Every splitter: exact character ranges, its own rule, what is refused."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raytuner import models
from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.errors import ConfigError
from raytuner.pipeline.chunk import Chunk, token_counter
from raytuner.pipeline.parameters import check_value
from raytuner.pipeline.splitters import SPLITTERS, check_chunking, expand, splitter_stage

SIZED = [name for name, part in SPLITTERS.items() if "chunk_size" in part.parameters]
OVERLAPPING = [name for name, part in SPLITTERS.items() if "chunk_overlap" in part.parameters]
OWN = [
    *SPLITTERS,
    "llama_index.core.node_parser.SentenceSplitter",
    "llama_index.core.node_parser.SentenceWindowNodeParser",
]
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
    "headings": "# One\n\nText. More.\n## Two\n```\n# no\n```\nThree\n=====\n" * 40,
    "short": "\n Hi. \n",
    "white space": " \n\t ",
    "nothing": "",
}
fragments = [
    "a",
    "ab ",
    "Yes. ",
    "no, ",
    "\n",
    "\n\n\n",
    "\r\n",
    "\r",
    " ",
    "\t",
    "🙂",
    "漢字。",
    "」",
    "...",
    "word",
    "\u00a0",
    "e\u0301",
    "\n# H\n",
    "\n```\n",
    "\n---\n",
    "> ",
    "- ",
    "\x00",
]
texts = st.lists(st.sampled_from(fragments), max_size=150).map("".join)


def chunks_of(text: str, splitter: str = "sentence", **params: Any) -> list[Chunk]:
    own = {"splitter": splitter, "embedding": "wordllama", **params}
    chunks: list[Chunk] = splitter_stage(own)(own, [Document("d", text)])
    return chunks


def assert_exact(text: str, chunks: list[Chunk]) -> None:
    """Every chunk is where it says, ranges never go back, and only white space is left out."""
    covered = 0
    for chunk in chunks:
        assert text[chunk.start : chunk.end] == chunk.text
        assert chunk.text.strip()
        assert chunk.tokens == token_counter()(chunk.text)
        assert not text[covered : chunk.start].strip()
        covered = chunk.end
    assert not text[covered:].strip()
    assert all(before.start <= after.start and before.end <= after.end for before, after in pairwise(chunks))


@pytest.mark.parametrize("splitter", OWN)
@pytest.mark.parametrize("name", TEXTS)
def test_ranges(splitter: str, name: str) -> None:
    chunks = chunks_of(TEXTS[name], splitter, chunk_size=64, chunk_overlap=0.3)
    assert_exact(TEXTS[name], chunks)
    assert bool(chunks) == bool(TEXTS[name].strip())
    if splitter in SIZED:
        assert all(chunk.tokens <= 64 for chunk in chunks)


@settings(deadline=None, max_examples=60)
@given(
    text=texts,
    splitter=st.sampled_from(list(SPLITTERS)),
    size=st.sampled_from([12, 40]),
    share=st.sampled_from([0, 0.2, 0.6]),
)
def test_ranges_of_any_text(text: str, splitter: str, size: int, share: float) -> None:
    assert_exact(text, chunks_of(text, splitter, chunk_size=size, chunk_overlap=share))


@pytest.mark.parametrize("splitter", OWN)
@pytest.mark.parametrize(
    ("file", "size", "overlap"),
    [("llama2/llama2_paper.md", 1024, 200), ("chroma-chunking/corpora/wikitexts.md", 128, 0.25)],
)
def test_ranges_in_real_documents(data_dir: Path, splitter: str, file: str, size: int, overlap: float) -> None:
    (document,) = load_documents(data_dir / file)
    chunks = chunks_of(document.text, splitter, chunk_size=size, chunk_overlap=overlap)
    assert_exact(document.text, chunks)
    if splitter in SIZED:
        assert 0.85 * size < max(chunk.tokens for chunk in chunks) <= 1.05 * size


@pytest.mark.parametrize("splitter", SPLITTERS)
def test_ranges_in_chinese_documents(data_dir: Path, splitter: str) -> None:
    data = json.loads((data_dir / "xquad" / "xquad.zh.json").read_text(encoding="utf-8"))["data"]
    for article in data[:4]:
        text = "\n\n".join(paragraph["context"] for paragraph in article["paragraphs"])
        assert_exact(text, chunks_of(text, splitter, chunk_size=128))


@pytest.mark.parametrize("splitter", OWN)
def test_chunks_of_several_documents(splitter: str) -> None:
    documents = [
        Document("a", "One. " * 100),
        Document("b", "Two."),
        Document("c", " "),
        Document("d", "Three. " * 100),
    ]
    own = {"splitter": splitter, "chunk_size": 64, "chunk_overlap": 0, "embedding": "wordllama"}
    chunks = splitter_stage(own)(own, documents)
    assert sorted({chunk.document for chunk in chunks}) == [0, 1, 3]
    assert [chunk.document for chunk in chunks] == sorted(chunk.document for chunk in chunks)
    for chunk in chunks:
        assert documents[chunk.document].text[chunk.start : chunk.end] == chunk.text


@pytest.mark.parametrize("splitter", OWN)
def test_a_single_sentence_is_one_chunk(splitter: str) -> None:
    assert chunks_of("Hi there.", splitter) == [Chunk(0, 0, 9, 3, "Hi there.")]


@pytest.mark.parametrize("splitter", OVERLAPPING)
def test_a_fraction_is_that_many_tokens(splitter: str) -> None:
    text = " ".join(f"This is sentence {number}." for number in range(300))
    fraction = chunks_of(text, splitter, chunk_size=64, chunk_overlap=0.25)
    assert fraction == chunks_of(text, splitter, chunk_size=64, chunk_overlap=16)
    assert all(before.end > after.start for before, after in pairwise(fraction))
    plain = chunks_of(text, splitter, chunk_size=64, chunk_overlap=0)
    assert all(before.end <= after.start for before, after in pairwise(plain))


@pytest.mark.parametrize("splitter", [*OVERLAPPING, "my.Parser"])
def test_an_overlap_as_large_as_the_chunk_is_refused(splitter: str) -> None:
    with pytest.raises(ConfigError, match=r"chunk_overlap 64 .* chunk_size 64"):
        check_chunking({"splitter": splitter, "chunk_size": 64, "chunk_overlap": 64})
    check_chunking({"splitter": splitter, "chunk_size": 64, "chunk_overlap": 63})


@pytest.mark.parametrize("splitter", ["whole", "sentence_window", "semantic"])
def test_where_there_is_no_overlap_none_is_refused(splitter: str) -> None:
    check_chunking({"splitter": splitter, "chunk_size": 64, "chunk_overlap": 64})


@pytest.mark.parametrize("splitter", SIZED)
def test_a_chunk_smaller_than_a_character_is_refused(splitter: str) -> None:
    with pytest.raises(
        ConfigError, match=r"^chunk_size 1 is too small: the character '🙂' alone has 2 tokens; .* least 2$"
    ):
        chunks_of("ok 🙂 ok. " * 3, splitter, chunk_size=1, chunk_overlap=0)
    assert chunks_of("ok 🙂 ok. " * 3, splitter, chunk_size=2, chunk_overlap=0)


@pytest.mark.parametrize(
    ("splitter", "words"),
    [
        ("sentense", "'sentense' is unknown; did you mean 'sentence'"),
        ("Whole", "'Whole' is unknown.*whole"),
        ("a.b.", "'a.b.' is unknown.*a dotted path"),
        ("", "'' is unknown"),
        (3, "3 is not allowed.*'sentence'"),
        (None, "None is not allowed.*'sentence'"),
    ],
)
def test_what_names_no_splitter_is_refused(splitter: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=f"^splitter: {words}"):
        check_value("splitter", splitter)


def test_a_dotted_path_is_not_imported_by_a_check() -> None:
    check_value("splitter", "no_such_module.Parser")


# sentence and token


def test_metadata_takes_no_tokens() -> None:
    text = "word " * 500
    named: list[Chunk] = SPLITTERS["sentence"]({"chunk_size": 64}, [Document("a/very/long/path/" * 50, text)])
    assert named == chunks_of(text, chunk_size=64)


@pytest.mark.parametrize("size", [64, 256])
def test_sentence_is_llamaindexs(data_dir: Path, size: int) -> None:
    from llama_index.core.node_parser import SentenceSplitter

    for document in load_documents(data_dir / "chroma-chunking" / "corpora")[1:]:
        own = chunks_of(document.text, chunk_size=size, chunk_overlap=size // 4)
        theirs = SentenceSplitter(chunk_size=size, chunk_overlap=size // 4).split_text(document.text)
        assert [chunk.text for chunk in own] == theirs


# markdown

MARKDOWN = """Before any heading.

# First #

Text of the first.

```python
# a comment
```

    # code, too

- # in a list

## Second
Text.
Third,
underlined
======
#no heading
####### no heading
\t
# Fourth"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_sections_never_mix(line_end: str) -> None:
    text = MARKDOWN.replace("\n", line_end)
    found = [chunk.text for chunk in chunks_of(text, "markdown")]
    assert [section.splitlines()[0] for section in found] == [
        "Before any heading.",
        "# First #",
        "## Second",
        "Text.",
        "# Fourth",
    ]
    assert found[1].endswith("- # in a list")
    assert found[3].endswith("####### no heading")


def test_a_long_section_is_cut_at_sentences() -> None:
    section = "# Heading\n\n" + " ".join(f"This is sentence {number}." for number in range(40))
    text = f"# Short\n\nOne.\n\n{section}\n\n# Last\n\nTwo."
    chunks = chunks_of(text, "markdown", chunk_size=64, chunk_overlap=0)
    assert chunks[0].text == "# Short\n\nOne."
    assert chunks[-1].text == "# Last\n\nTwo."
    assert len(chunks) > 4
    assert all(chunk.text.endswith(".") for chunk in chunks)
    assert [chunk.text for chunk in chunks[1:-1]] == [
        chunk.text for chunk in chunks_of(section, "sentence", chunk_size=64, chunk_overlap=0)
    ]


# recursive


def test_recursive_keeps_what_fits_together() -> None:
    text = "Alpha one.\n\nBeta two.\n\n" + "Gamma three. " * 10 + "\n\nDelta four."
    found = [chunk.text for chunk in chunks_of(text, "recursive", chunk_size=12, chunk_overlap=0)]
    assert found[0] == "Alpha one.\n\nBeta two."
    assert found[-1] == "Delta four."
    assert set(found[1:-1]) <= {" ".join(["Gamma three."] * count) for count in (1, 2, 3)}


def test_recursive_cuts_words_only_if_it_must() -> None:
    text = "short words here " * 10 + "x" * 300
    found = [chunk.text for chunk in chunks_of(text, "recursive", chunk_size=8, chunk_overlap=0)]
    words, letters = [f for f in found if "x" not in f], [f for f in found if "x" in f]
    assert " ".join(words).split() == ["short", "words", "here"] * 10
    assert "".join(letters) == "x" * 300


# sentence_window


def test_each_sentence_is_a_chunk() -> None:
    assert [chunk.text for chunk in chunks_of("One. Two! Three?", "sentence_window")] == ["One.", "Two!", "Three?"]


def test_sentence_windows_are_llamaindexs(data_dir: Path) -> None:
    from llama_index.core.node_parser import SentenceWindowNodeParser
    from llama_index.core.schema import Document as LlamaDocument

    (document,) = load_documents(data_dir / "chroma-chunking" / "corpora" / "state_of_the_union.md")
    chunks = chunks_of(document.text, "sentence_window")
    nodes = SentenceWindowNodeParser(window_size=2).get_nodes_from_documents([LlamaDocument(text=document.text)])
    assert [chunk.text for chunk in chunks] == [node.get_content().strip() for node in nodes]
    windows = expand.run(chunks, [document], range(len(chunks)), window_size=2)
    # LlamaIndex joins with a space, and has one sentence more on the right in some versions.
    for window, node in zip(windows, nodes, strict=True):
        assert " ".join(node.metadata["window"].split()).startswith(" ".join(window.text.split()))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, ["b1.", "a1.", "b3."]),
        (1, ["b1. b2.", "a1. a2.", "b2.  b3."]),
        (9, ["b1. b2.  b3.", "a1. a2.", "b1. b2.  b3."]),
    ],
)
def test_a_window_stays_in_its_document(size: int, expected: list[str]) -> None:
    documents = [Document("a", "a1. a2."), Document("b", "b1. b2.  b3.")]
    chunks = SPLITTERS["sentence_window"]({}, documents)
    windows = expand.run(chunks, documents, [2, 0, 4], window_size=size)
    assert [window.text for window in windows] == expected
    for window in windows:
        assert documents[window.document].text[window.start : window.end] == window.text
        assert window.tokens == token_counter()(window.text)


# semantic


@pytest.mark.parametrize("percentile", [80, 95])
def test_semantic_is_llamaindexs(data_dir: Path, percentile: int) -> None:
    from llama_index.core.node_parser import SemanticSplitterNodeParser
    from llama_index.core.schema import Document as LlamaDocument

    parser = SemanticSplitterNodeParser(
        embed_model=models.embedding("wordllama"), breakpoint_percentile_threshold=percentile
    )
    for document in load_documents(data_dir / "chroma-chunking" / "corpora")[1:]:
        nodes = parser.get_nodes_from_documents([LlamaDocument(text=document.text)])
        own = chunks_of(document.text, "semantic", chunk_size=100_000, breakpoint_percentile=percentile)
        assert [chunk.text for chunk in own] == [node.get_content().strip() for node in nodes]


def test_semantic_cuts_where_the_subject_changes() -> None:
    cats = "Cats purr. Cats chase mice. Kittens are young cats. Cats sleep by day. "
    money = "The bank raised interest rates. Bonds fell. Banks lend money. Investors sold bonds."
    assert [chunk.text for chunk in chunks_of(cats + money, "semantic", breakpoint_percentile=90)] == [
        cats.strip(),
        money,
    ]


def test_a_long_semantic_chunk_is_cut_further() -> None:
    text = " ".join(f"The cat number {number} sleeps." for number in range(100))
    chunks = chunks_of(text, "semantic", chunk_size=40, breakpoint_percentile=100)
    assert len(chunks) > 10
    assert all(chunk.tokens <= 40 and chunk.text.endswith("sleeps.") for chunk in chunks)


# whole


def test_whole_is_the_document_as_it_is() -> None:
    (chunk,) = chunks_of(" One.\n\nTwo. ", "whole")
    assert (chunk.start, chunk.end, chunk.text) == (0, 12, " One.\n\nTwo. ")
