"""What a folder holds that is no file to be read: never waited for, always said."""

from __future__ import annotations

import encodings.utf_8_sig  # noqa: F401 - may not be readable any more where it is needed
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from raytuner.documents.load import load_documents
from raytuner.errors import DataError

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with one document, that anyone may enter."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    (made / "a.md").write_text("Owls hunt.")
    yield made
    shutil.rmtree(made)


@pytest.fixture
def unprivileged() -> Iterator[None]:
    """The superuser may read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    yield
    os.seteuid(before)


def bind(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(here)


ODD: dict[str, tuple[Callable[[Path], object], str]] = {
    "nowhere.md": (lambda path: path.symlink_to("missing.md"), "a link that leads nowhere"),
    "itself.md": (lambda path: path.symlink_to(path.name), "a link to itself"),
    "pipe.md": (os.mkfifo, "a named pipe"),
    "socket.md": (bind, "a socket"),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("pattern", ["", "*"])
@pytest.mark.parametrize("name", ODD)
def test_what_is_no_file_is_skipped_and_said(
    folder: Path, name: str, pattern: str, caplog: pytest.LogCaptureFixture
) -> None:
    make, fault = ODD[name]
    make(folder / name)
    assert [document.id for document in load_documents(f"{folder}/{pattern}")] == ["a.md"]
    (message,) = [record.getMessage() for record in caplog.records]
    assert f"1 files or folders that cannot be read are skipped: {folder / name} ({fault})" in message
    with pytest.raises(DataError, match=f"{name}: {fault}; name a file that can be read"):
        load_documents(folder / name)


def test_folders_that_lead_in_a_circle_are_not_entered(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "back").symlink_to(folder)
    assert [document.id for document in load_documents(folder)] == ["a.md"]
    assert "back (a link to a folder; name that itself)" in caplog.text
    assert [document.id for document in load_documents(folder / "sub" / "back")] == ["a.md"]


def test_what_may_not_be_read_is_skipped_and_said(
    folder: Path, unprivileged_folder: Path, unprivileged: None, caplog: pytest.LogCaptureFixture
) -> None:
    assert [document.id for document in load_documents(folder)] == ["a.md"]
    assert "2 files or folders that cannot be read are skipped" in caplog.text
    assert "secret.md (permission denied)" in caplog.text
    assert "locked (permission denied)" in caplog.text
    with pytest.raises(DataError, match=r"secret\.md: permission denied; name a file that can be read"):
        load_documents(folder / "secret.md")
    with pytest.raises(DataError, match="locked: Permission denied; check the path"):
        load_documents(folder / "locked")


@pytest.fixture
def unprivileged_folder(folder: Path) -> Iterator[Path]:
    (folder / "secret.md").write_text("secret")
    (folder / "locked").mkdir()
    (folder / "locked" / "b.md").write_text("secret")
    for name in ("secret.md", "locked"):
        (folder / name).chmod(0)
    yield folder
    (folder / "locked").chmod(0o700)


def test_only_the_first_names_are_said(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(5):
        (folder / f"{number}.md").symlink_to("missing")
    load_documents(folder)
    assert "5 files or folders" in caplog.text
    assert "2.md (a link that leads nowhere) and 2 more" in caplog.text
    assert "3.md" not in caplog.text
