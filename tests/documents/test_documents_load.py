"""Loading documents."""

from __future__ import annotations

from pathlib import Path

import pytest

from raytuner.documents import load
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
        ".hidden.md": "no",
        ".git/a.md": "no",
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
    assert load_documents(tmp_path / "a.md") == [Document("a.md", text, str(tmp_path / "a.md"))]


@pytest.mark.parametrize(
    ("paths", "word"),
    [
        ("missing.md", "no such file"),
        ("missing/*.md", "no such file"),
        ([], "empty list"),
        (" ", "an empty path"),
        ("https://example.com/a.html", "an address, not a path"),
        ("builtin:quickstrat", "did you mean 'builtin:quickstart'"),
    ],
)
def test_a_path_that_is_not_there(paths: str | list[str], word: str) -> None:
    with pytest.raises(DataError, match=word):
        load_documents(paths)


def test_a_folder_without_documents(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no documents"):
        load_documents(tmp_path)


def test_the_packaged_documents() -> None:
    documents = load_documents("builtin:quickstart")
    assert len(documents) > 5
    assert sum(len(document.text) for document in documents) > 60_000


def test_what_a_folder_holds_besides_documents_is_counted(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("b.png", "c.zip", "LICENSE"):
        (folder / "sub" / name).write_bytes(b"")
    load_documents(folder)
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder}: files of unknown kinds are skipped: 2 .png, 1 without a suffix, 1 .zip"
    ]


def test_a_question_set_in_a_folder_is_skipped_and_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "image.png").unlink()
    (folder / "sub" / "asked.csv").write_text("question,answer\nWhat?,That.\n")
    (folder / "settings.json").write_text('{"data": "no articles"}')
    assert ids(load_documents(folder)) == ["a.txt", "b.md", "sub/a.txt", "sub/deep/x.markdown"]
    assert "skipped, as they hold no documents: settings.json, asked.csv" in caplog.text
    with pytest.raises(DataError, match="looks like a question set; name it under `questions`"):
        load_documents(folder / "sub" / "asked.csv")


def test_pages_and_tables_without_text_in_a_folder_are_skipped_and_said(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "image.png").unlink()
    (folder / "c.html").write_text("<frameset><frame src=x></frameset><noframes>Use another browser</noframes>")
    (folder / "d.csv").write_text("text,x\n,1\n")
    assert ids(load_documents(folder)) == ["a.txt", "b.md", "sub/a.txt", "sub/deep/x.markdown"]
    assert "skipped, as they hold no documents: c.html, d.csv" in caplog.text
    with pytest.raises(DataError, match=r"no documents in c\.html, d\.csv; put text into them"):
        load_documents([folder / "*.html", folder / "d*.csv"])


def test_an_empty_file_in_a_folder_is_refused_since_something_was_lost(folder: Path) -> None:
    (folder / "a.md").write_text(" \n")
    with pytest.raises(DataError, match=r"a\.md: the file is empty; remove it or put text into it"):
        load_documents(folder)


def test_excluded_files_are_not_read_unless_they_are_named(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "image.png").unlink()
    questions = folder / "questions.jsonl"
    questions.write_text('{"question": "What?"}\n')
    without = ["a.txt", "b.md", "sub/a.txt", "sub/deep/x.markdown"]
    assert ids(load_documents(folder, exclude=[questions])) == without
    assert ids(load_documents(folder / "*.md", exclude=[folder / "a.txt"])) == ["b.md"]
    assert ids(load_documents(folder / "a.txt", exclude=[folder / "a.txt"])) == ["a.txt"]
    assert caplog.text == ""


def test_the_builtin_questions_are_no_documents(caplog: pytest.LogCaptureFixture) -> None:
    assert all(document.id.endswith(".md") for document in load_documents("builtin:quickstart"))
    assert caplog.text == ""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Forty pages."""
    for number in range(40):
        page = f"<title>Page {number}</title><p>This is page {number}.</p>" + "<p>More of it.</p>" * number
        (tmp_path / f"{number:02}.html").write_text(page)
    return tmp_path


def test_processes_read_the_same_in_the_same_order(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = load_documents(site)
    monkeypatch.setattr(load, "WORTH_A_POOL", 0)
    assert load_documents(site) == here
    assert ids(here) == [f"{number:02}.html" for number in range(40)]


def test_an_error_in_another_process_is_the_same_error(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "20.html").write_bytes(b"<meta charset=utf-8>caf\xe9")
    monkeypatch.setattr(load, "WORTH_A_POOL", 0)
    with pytest.raises(DataError, match=r"20\.html: byte 23 is not UTF-8"):
        load_documents(site)


@pytest.mark.usefixtures("empty_cache")
def test_progress_counts_what_is_read(site: Path) -> None:
    calls: list[tuple[int, int]] = []
    load_documents(site, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 40) for done in range(1, 41)]


def test_the_progress_bar_is_silent_without_a_terminal(site: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with load.progress_bar() as progress:
        load_documents(site, progress=progress)
    assert capfd.readouterr() == ("", "")


def test_replacement_characters_in_a_file_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.md").write_text("caf\ufffd", encoding="utf-8")
    load_documents(tmp_path)
    assert "characters that were lost before, in a.md" in caplog.text


def test_a_name_too_long_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="File name too long; check the path"):
        load_documents(tmp_path / ("a" * 300 + ".md"))
