"""Run folders through a log: what is sent arrives, and what somebody else made up is not unpacked."""

from __future__ import annotations

import io
import random
import tarfile
from pathlib import Path

import pytest

from raytuner.errors import ClusterError, RaytunerError, UserError
from raytuner.jobs import send
from raytuner.jobs.fetch import received, unpacked


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run folder of the job ``some-job`` on the head."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    made = send.jobs_folder() / "some-job" / "rag-20261127-120000"
    made.mkdir(parents=True)
    (made / "log.jsonl").write_bytes(random.Random(0).randbytes(50_000))
    (made / "best.yaml").write_text("documents: docs\n")
    (made / "deep").mkdir()
    (made / "deep" / "empty").write_bytes(b"")
    (made / ".run.json.77").write_text("half-written")
    (made / "link").symlink_to("/etc/passwd")
    return made


def sent(capsys: pytest.CaptureFixture[str], **options: int) -> str:
    send.main("some-job", **options)
    return "Running entrypoint for job x: exec python send.py\n" + capsys.readouterr().out


def test_a_run_folder_arrives_as_it_is(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = unpacked(received(sent(capsys), "some-job"), tmp_path / "runs")
    assert found == tmp_path / "runs" / folder.name
    names = {path.relative_to(found).as_posix() for path in found.rglob("*") if path.is_file()}
    assert names == {"log.jsonl", "best.yaml", "deep/empty"}
    for name in names:
        assert (found / name).read_bytes() == (folder / name).read_bytes()
        assert (found / name).stat().st_mode & 0o077 == 0
    assert found.stat().st_mode & 0o077 == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [folder.name]


def test_a_folder_that_is_there_is_not_written_over(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = received(sent(capsys), "some-job")
    mine = tmp_path / "runs" / folder.name
    mine.mkdir(parents=True)
    (mine / "log.jsonl").write_text("mine")
    with pytest.raises(UserError, match="is there already; remove it, or name another folder by --out"):
        unpacked(data, tmp_path / "runs")
    assert (mine / "log.jsonl").read_text() == "mine"


def test_a_folder_beyond_the_limit_is_refused_with_its_size(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = sent(capsys, most=10_000)
    assert len(log) < 500
    with pytest.raises(ClusterError, match=r"has 0\.1 MB, and only 0 MB can be fetched .* --storage"):
        received(log, "some-job")


def test_a_job_without_a_run_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    log = sent(capsys)
    with pytest.raises(ClusterError, match="has no run folder on the head: it ended before its search began"):
        received(log, "some-job", ended=True)
    with pytest.raises(ClusterError, match="its search has not begun"):
        received(log, "some-job", ended=False)


@pytest.mark.parametrize("change", ["a letter", "a line", "the end", "the hash"])
def test_what_is_damaged_on_its_way_is_refused(folder: Path, capsys: pytest.CaptureFixture[str], change: str) -> None:
    lines = sent(capsys).splitlines()
    assert len(lines) > 4
    if change == "a letter":
        lines[3] = ("B" if lines[3][0] == "A" else "A") + lines[3][1:]
    elif change == "a line":
        del lines[3]
    elif change == "the end":
        del lines[4:]
    else:
        lines[1] = lines[1].replace('"sha256": "', '"sha256": "0')
    with pytest.raises(RaytunerError, match="has not arrived as it was sent; fetch it again"):
        received("\n".join(lines), "some-job")


def test_a_log_without_a_folder_shows_its_last_line() -> None:
    with pytest.raises(RaytunerError, match=r"said: .*python: command not found"):
        received("Running entrypoint\n/bin/sh: python: command not found\n", "some-job")


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for member, data in members:
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


FINE = (member("run/log.jsonl"), b"{}")


@pytest.mark.parametrize(
    "bad",
    [
        member("../escaped"),
        member("run/../../escaped"),
        member("/tmp/escaped"),
        member("escaped"),
        member("other/escaped"),
        member("run/log.jsonl"),
        member("run/link", tarfile.SYMTYPE, "/etc/passwd"),
        member("run/link", tarfile.LNKTYPE, "run/log.jsonl"),
        member("run/pipe", tarfile.FIFOTYPE),
        member("run/device", tarfile.CHRTYPE),
        member("run/folder", tarfile.DIRTYPE),
    ],
    ids=lambda made: f"{made.name}-{made.type.decode()}",
)
def test_a_tar_that_holds_anything_but_files_of_a_folder_is_refused(bad: tarfile.TarInfo, tmp_path: Path) -> None:
    data = b"x" if bad.isreg() else b""
    with pytest.raises(RaytunerError, match="nothing is unpacked"):
        unpacked(tar_of(FINE, (bad, data)), tmp_path / "runs")
    assert not list(tmp_path.rglob("*"))


@pytest.mark.parametrize("data", [b"", b"no tar", tar_of()], ids=["empty", "text", "no files"])
def test_what_is_no_tar_is_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(RaytunerError, match="nothing is unpacked"):
        unpacked(data, tmp_path / "runs")


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="name another folder by --out"):
        unpacked(tar_of(FINE), tmp_path / "file" / "runs")


def test_the_sender_is_a_script_of_its_own() -> None:
    """It runs on a head that may have no raytuner."""
    text = Path(send.__file__).read_text()
    imported = {
        line.split()[1].partition(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))
    }
    assert imported <= {"__future__", "base64", "hashlib", "io", "json", "os", "sys", "tarfile", "pathlib"}
