"""The commands `raytuner report`, `watch` and `runs`."""

from __future__ import annotations

import csv
import io
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parent / "benchmarks"))

from made_run import make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `runs` has three runs, of which one is damaged."""
    here = tmp_path_factory.mktemp("here")
    make_run(here / "runs" / "mine-20260101-000000", trials=9)
    make_run(here / "runs" / "other-20260102-000000", trials=4, ended=False)
    damaged = make_run(here / "runs" / "bad-20260103-000000", trials=2)
    (damaged / "run.json").write_text("{")
    return here


@pytest.fixture
def attacked(tmp_path: Path) -> Path:
    """A folder in which `runs` has a run as it should be, and three whose files hold something else."""
    made = make_run(tmp_path / "runs/good", trials=3)
    for name in ("begun", "metric", "notes", "terminal"):
        shutil.copytree(made, tmp_path / "runs" / name)
    for name, more in {"begun": {"created": 5}, "notes": {"notes": [1]}}.items():
        path = tmp_path / "runs" / name / "run.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | more))
    log = tmp_path / "runs/metric/log.jsonl"
    log.write_text(log.read_text().replace('"metrics": {"span_f4"', '"metrics": {"other"'))
    log = tmp_path / "runs/terminal/log.jsonl"
    log.write_text(
        log.read_text().replace('"sentence"', '"sen\\u001b[2Jtence\\u202e"').replace('"token"', '"t\\u001b"')
    )
    return tmp_path


def test_damaged_runs_do_not_hide_the_others_and_have_a_reason(attacked: Path) -> None:
    done = raytuner(attacked, "runs")
    assert (done.returncode, done.stderr) == (0, "")
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "finished" in lines["good"]
    assert "run.json is damaged in created; restore the file" in lines["begun"]
    assert "run.json is damaged in notes; restore the file" in lines["notes"]
    assert "damaged" in lines["metric"]
    assert "restore" in lines["metric"]


def test_a_terminal_obeys_nothing_of_a_run(attacked: Path) -> None:
    for args in (("runs",), ("show", "runs/terminal"), ("compare", "runs/good", "runs/terminal")):
        done = raytuner(attacked, *args)
        assert done.returncode == 0, done.stderr
        assert "\ufffd" in done.stdout or "\\u001b" in done.stdout
        assert not {"\x1b", "\u202e"} & set(done.stdout)


@pytest.mark.parametrize("command", ["report", "show"])
def test_a_damaged_run_is_said_in_a_line_by_every_command(attacked: Path, command: str) -> None:
    done = raytuner(attacked, command, "runs/notes")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "run.json is damaged in notes; restore the file" in done.stderr


def raytuner(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "raytuner", *args]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def test_report_writes_one_page_and_nothing_into_the_run_folder(folder: Path) -> None:
    done = raytuner(folder, "report", "mine")
    assert (done.returncode, done.stderr) == (0, "")
    page = folder / "mine-20260101-000000.html"
    assert f"written: {page.name}" in done.stdout
    assert not list((folder / "runs").rglob("*.html"))
    assert 500_000 < page.stat().st_size < 5_000_000
    assert page.stat().st_mode & 0o777 == 0o600  # it holds texts of documents


def test_several_runs_go_into_one_page(folder: Path) -> None:
    done = raytuner(folder, "report", "mine", "other", "--out", "both.html", "--no-texts")
    assert done.returncode == 0
    text = (folder / "both.html").read_text(encoding="utf-8")
    assert "mine-20260101-000000" in text
    assert "other-20260102-000000" in text


def test_other_formats_go_to_stdout(folder: Path) -> None:
    as_json = json.loads(raytuner(folder, "report", "mine", "--format", "json", "--no-texts").stdout)
    assert as_json["runs"][0]["folder"] == "mine-20260101-000000"
    assert len(list(csv.DictReader(io.StringIO(raytuner(folder, "report", "mine", "--format", "csv").stdout)))) == 9
    assert raytuner(folder, "report", "mine", "--format", "md", "--out", "r.md").returncode == 0
    assert (folder / "r.md").read_text(encoding="utf-8").startswith("# mine")


def test_runs_lists_all_of_them_with_what_is_wrong(folder: Path) -> None:
    found = json.loads(raytuner(folder, "runs", "--json").stdout)
    states = {row["run"]: row["state"] for row in found}
    assert states == {
        "mine-20260101-000000": "finished",
        "other-20260102-000000": "cut off",
        "bad-20260103-000000": "damaged",
    }
    lines = raytuner(folder, "runs").stdout.splitlines()
    assert lines[0].split()[:4] == ["run", "begun", "state", "trials"]
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("report", "nowhere"), "nowhere: no such run, neither as a path nor in runs/; ls runs shows what there is"),
        (("report", "runs/bad-20260103-000000"), "no readable run.json"),
        (("report", "mine", "--out", "no/such/report.html"), "No such file or directory; name another file by --out"),
        (("report", "mine", "--format", "md", "--open"), "--open shows a page, and --format is md"),
        (("report",), "Missing argument 'RUN...'"),
        (("report", "mine", "--format", "pdf"), "'pdf' is not one of"),
        (("watch", "nowhere"), "no such run"),
        (("watch", "mine", "--port", "70000"), "70000 is not in the range"),
        (("runs", "--folder", "nowhere"), "nowhere: no such folder"),
    ],
)
def test_mistakes_are_said_in_a_line(folder: Path, args: tuple[str, ...], said: str) -> None:
    done = raytuner(folder, *args)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_said(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = raytuner(folder, "watch", "mine", "--no-texts", "--port", str(port))
    assert done.returncode == 2
    assert f"--port {port}: " in done.stderr


def test_a_folder_without_runs_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    done = raytuner(tmp_path, "runs")
    assert (done.returncode, done.stdout) == (0, "")
    assert "no runs yet" in done.stderr
