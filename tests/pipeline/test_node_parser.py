"""Node parsers from outside."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from raytuner.documents.document import Document
from raytuner.errors import ConfigError, RaytunerError
from raytuner.pipeline.chunk import Chunk
from raytuner.pipeline.parameters import check, check_value
from raytuner.pipeline.splitters import custom, prepare_splitter, splitter_stage

MODULE = """
from llama_index.core.node_parser import NodeParser, SentenceSplitter, TextSplitter

class Lines(TextSplitter):
    def split_text(self, text):
        return text.split("\\n")

class Odd(TextSplitter):
    def split_text(self, text):
        return text.split("\\n")[::2][:2]

class Upper(TextSplitter):
    def split_text(self, text):
        return [text.upper()]

class Needs(Lines):
    what: int

class Sized(Lines):
    chunk_size: int = 2

    def split_text(self, text):
        return [text[i : i + self.chunk_size] for i in range(0, len(text), self.chunk_size)]

def lines():
    return Lines()

def nothing():
    return None

ready = Lines()
number = 3
"""
TEXT = "one\none\ntwo, three\n\n one"
LINES = ["one", "one", "two, three", " one"]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "own_parsers.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_parsers", raising=False)
    return "own_parsers"


def split(splitter: Any, text: str = TEXT, **params: Any) -> list[Chunk]:
    chunks: list[Chunk] = custom({"splitter": splitter, **params}, [Document("d", text)])
    assert all(text[chunk.start : chunk.end] == chunk.text for chunk in chunks)
    return chunks


@pytest.mark.parametrize("name", ["Lines", "lines", "ready"])
def test_a_class_a_function_or_an_object_by_path(module: str, name: str) -> None:
    path = f"{module}.{name}"
    assert splitter_stage({"splitter": path}) is custom
    assert [chunk.text for chunk in split(path)] == LINES
    assert [chunk.start for chunk in split(path)] == [0, 4, 8, 20]
    check({"splitter": path})
    prepare_splitter({"splitter": path})


def test_an_object() -> None:
    from llama_index.core.node_parser import SentenceSplitter

    parser = SentenceSplitter(chunk_size=16, chunk_overlap=0)
    text = "This is a sentence of some words. " * 20
    check_value("splitter", parser)
    assert [chunk.text for chunk in split(parser, text)] == parser.split_text(text)


def test_sizes_are_given_to_those_who_take_them(module: str) -> None:
    assert [chunk.text for chunk in split(f"{module}.Sized", "abcdef", chunk_size=4)] == ["abcd", "ef"]
    path = "llama_index.core.node_parser.SentenceSplitter"
    text = "This is a sentence of some words. " * 20
    plain, overlapping = (split(path, text, chunk_size=32, chunk_overlap=share) for share in (0, 0.5))
    assert 20 < max(chunk.tokens for chunk in plain) <= 32
    assert overlapping[0].end > overlapping[1].start
    with pytest.raises(ConfigError, match=r"chunk_overlap 32 is not below chunk_size 32"):
        split(path, text, chunk_size=32, chunk_overlap=32)


def test_only_the_sizes_that_are_taken_are_in_the_key(module: str) -> None:
    def key(name: str, **params: Any) -> str:
        return custom.key({"splitter": f"{module}.{name}", **params}, "documents")

    assert key("Lines") == key("Lines", chunk_size=64, chunk_overlap=0) == key("Lines", window_size=1)
    assert key("Sized") == key("Sized", chunk_overlap=0) != key("Sized", chunk_size=64)
    assert key("Lines") != key("lines")


def test_objects_have_keys_of_their_own(module: str) -> None:
    from llama_index.core.node_parser import SentenceSplitter

    one, two = SentenceSplitter(), SentenceSplitter()
    keys = [custom.key({"splitter": splitter}, "documents") for splitter in (one, two, one)]
    assert keys[0] == keys[2] != keys[1]


def test_a_parser_may_leave_text_out(module: str) -> None:
    assert [(chunk.start, chunk.text) for chunk in split(f"{module}.Odd")] == [(0, "one"), (8, "two, three")]


def test_repeated_text_is_where_it_covers_the_document() -> None:
    text = "The same sentence again. " * 60
    chunks = split("llama_index.core.node_parser.SentenceSplitter", text, chunk_size=64, chunk_overlap=16)
    assert (chunks[0].start, chunks[-1].end) == (0, len(text.strip()))


def test_a_parser_that_changes_the_text_is_noticed(module: str) -> None:
    with pytest.raises(RaytunerError, match="the splitter changed the text: from chunk 1 on"):
        split(f"{module}.Upper")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module.Parser", "there is no module 'no_such_module'"),
        ("own_parsers.Linse", "has no 'Linse'; did you mean 'Lines'"),
        ("own_parsers.number", "is a int; it should be a LlamaIndex NodeParser"),
        ("own_parsers.nothing", "makes a NoneType; it should make a LlamaIndex NodeParser"),
        ("own_parsers.Needs", "making it failed: ValidationError: .* Field required"),
    ],
)
def test_a_mistake_is_found_before_the_search(module: str, name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"^splitter {name}.*{words}") as caught:
        prepare_splitter({"splitter": name})
    assert "\n" not in str(caught.value)
