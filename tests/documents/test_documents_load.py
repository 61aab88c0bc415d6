"""Loading documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "b.md": "B",
        "a.txt": "A",
        "sub/a.txt": "C",
        "sub/deep/x.markdown": "D",
        "image.png": "no",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def ids(documents: list[Document]) -> list[str]:
    return [document.id for document in documents]


def test_a_folder_is_read_recursively_in_order(folder: Path) -> None:
    documents = load_documents(folder)
    assert ids(documents) == ["a.txt", "b.md", "sub/a.txt", "sub/deep/x.markdown"]
    assert [document.text for document in documents] == ["A", "B", "C", "D"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [("b.md", ["b.md"]), ("*.txt", ["a.txt"]), ("sub/**/*", ["a.txt", "x.markdown"]), ("*", ["a.txt", "b.md"])],
)
def test_files_and_globs(folder: Path, pattern: str, expected: list[str]) -> None:
    assert ids(load_documents(str(folder / pattern))) == expected


def test_a_file_named_twice_is_one_document(folder: Path) -> None:
    assert ids(load_documents([folder / "a.txt", folder, folder / "*.txt"])) == ids(load_documents(folder))


def test_names_that_clash_keep_more_of_their_path(tmp_path: Path) -> None:
    for name in ("one/x/a.md", "two/x/a.md", "two/b.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    files = [tmp_path / "one/x/a.md", tmp_path / "two/x/a.md", tmp_path / "two/b.md"]
    assert ids(load_documents(files)) == ["one/x/a.md", "two/x/a.md", "b.md"]


def test_a_name_with_glob_characters_is_a_name(tmp_path: Path) -> None:
    (tmp_path / "notes [1].md").write_text("text")
    assert ids(load_documents(tmp_path / "notes [1].md")) == ["notes [1].md"]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\xef\xbb\xbfwith a mark", "with a mark"),
        (b"one\r\ntwo\rthree\n", "one\r\ntwo\rthree\n"),
        ("漢字 🙂 é".encode(), "漢字 🙂 é"),
    ],
)
def test_text_is_kept_character_by_character(tmp_path: Path, raw: bytes, text: str) -> None:
    (tmp_path / "a.md").write_bytes(raw)
    assert load_documents(tmp_path / "a.md") == [Document("a.md", text)]


@pytest.mark.parametrize(
    ("name", "raw", "words"),
    [
        ("latin.txt", b"caf\xe9", ("latin.txt", "byte 3", "UTF-8")),
        ("empty.md", b" \n", ("empty.md", "empty")),
        ("paper.pdf", b"%PDF", ("paper.pdf", ".pdf", ".md")),
        ("README", b"text", ("README", "no extension")),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, name: str, raw: bytes, words: tuple[str, ...]) -> None:
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(DataError) as error:
        load_documents(tmp_path / name)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(
    ("paths", "word"),
    [
        ("missing.md", "no such file"),
        ("missing/*.md", "no such file"),
        ([], "empty list"),
        ("builtin:quickstrat", "did you mean 'builtin:quickstart'"),
    ],
)
def test_a_path_that_is_not_there(paths: str | list[str], word: str) -> None:
    with pytest.raises(DataError, match=word):
        load_documents(paths)


def test_a_folder_without_documents(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no"):
        load_documents(tmp_path)


def test_the_packaged_documents() -> None:
    documents = load_documents("builtin:quickstart")
    assert len(documents) > 5
    assert sum(len(document.text) for document in documents) > 60_000
