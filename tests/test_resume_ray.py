"""Runs whose driver, workers or trials die, each command in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from raytuner.run_folder import LOG
from raytuner.trial_log import read_log

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

CONFIG = {
    "documents": "builtin:quickstart",
    "questions": "builtin:quickstart",
    "pipeline": {"retriever": "bm25"},
    "space": {"chunk_size": [64, 96, 128, 192, 256], "chunk_overlap": [0, 0.25], "top_k": [1, 2, 3]},
    "objective": {"metric": "span_f4", "block_size": 4},
    "search": {"holdout": 20, "concurrency": 2},
}
SLOW = '''
"""An objective that is slow, dies or hangs where it is told to."""

import os
import pathlib
import time


def scored(params, **_):
    here = pathlib.Path(__file__).parent
    for block in range(4):
        with open(here / "evaluated.txt", "a") as file:
            file.write(f"{params['k']} {block}\\n")
        yield {f"q{block}": {"score": params["k"] + block}}
        if params["k"] == 2 and params.get("fault") == "hang":
            time.sleep(600)
        if params["k"] == 2 and params.get("fault") == "die":
            os._exit(1)
        if params["k"] == 2 and params.get("fault") == "die once" and not (here / "died").exists():
            (here / "died").write_text("")
            os._exit(1)
'''


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "raytuner", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(folder: Path, *arguments: str) -> tuple[int, str, str]:
    process = start(folder, *arguments)
    out, err = process.communicate(timeout=200)
    return process.returncode, out, err


def write(folder: Path, config: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "rag.yaml").write_text(yaml.safe_dump(config))


def folder_of(run_parent: Path) -> Path:
    (found,) = (run_parent / "runs").iterdir()
    return found


def killed(folder: Path, rows: int, kill: int = signal.SIGKILL) -> Path:
    """A run whose driver was killed when its log had so many rows."""
    process = start(folder, "tune", "rag.yaml", "-q")
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        if list((folder / "runs").glob(f"*/{LOG}")) and len(read_log(folder_of(folder)).rows) >= rows:
            break
        time.sleep(0.02)
    process.send_signal(kill)
    process.wait(60)
    assert len(read_log(folder_of(folder)).rows) >= rows, process.stderr and process.stderr.read()
    return folder_of(folder)


def ends(folder: Path) -> dict[int, Any]:
    rows = [row for row in read_log(folder).rows if row["kind"] == "trial"]
    return {row["trial"]: (row["params"], row["score"], row["stopped"], row["metrics"]) for row in rows}


def blocks(folder: Path) -> Counter[tuple[str, int, int]]:
    rows = [row for row in read_log(folder).rows if row["kind"] in ("block", "held_out")]
    return Counter((row["kind"], row["trial"], row["block"]) for row in rows)


@pytest.mark.parametrize("search", ["grid", "random"])
def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path: Path, search: str) -> None:
    scheduler = {"grid": "racing", "random": "fifo"}[search]
    config = {**CONFIG, "search": {**CONFIG["search"], "name": search, "scheduler": scheduler, "trials": 20}}  # type: ignore[dict-item]
    write(tmp_path / "whole", config)
    code, out, err = run(tmp_path / "whole", "tune", "rag.yaml", "-q", "--json")
    assert code == 0, err
    write(tmp_path / "cut", config)
    folder = killed(tmp_path / "cut", 40)
    before = (folder / LOG).read_bytes()
    with (folder / LOG).open("ab") as file:
        file.write(b'{"kind": "block", "tri')  # the power went
    code, again, err = run(tmp_path / "cut", "resume", folder.name, "--json", "-q")
    assert code == 0, err
    assert (folder / LOG).read_bytes().startswith(before)
    assert set(blocks(folder).values()) == {1}, "no block twice"
    assert ends(folder) == ends(folder_of(tmp_path / "whole"))
    first, second = json.loads(out), json.loads(again)
    assert (first["best"], first["default"]) == (second["best"], second["default"])
    assert first["held_out"] == second["held_out"]
    rows = len(read_log(folder).rows)
    code, third, err = run(tmp_path / "cut", "resume", folder.name, "--json", "-q")
    assert (code, len(read_log(folder).rows)) == (0, rows), "there is nothing left"
    assert json.loads(third)["best"] == first["best"]


def test_after_ctrl_c_more_trials_by_another_search(tmp_path: Path) -> None:
    search = {**CONFIG["search"], "name": "optuna", "trials": 6}  # type: ignore[dict-item]
    write(tmp_path, {**CONFIG, "search": search})
    folder = killed(tmp_path, 15, signal.SIGINT)
    known = blocks(folder)
    code, out, err = run(tmp_path, "resume", folder.name, "--trials", "4", "--search", "hyperopt", "--json")
    assert code == 0, err
    assert "goes on: " in err
    assert sorted(ends(folder)) == list(range(1, 11))
    assert set(blocks(folder).values()) == {1}
    assert known.keys() <= blocks(folder).keys()
    params = [json.dumps(found[0], sort_keys=True) for found in ends(folder).values()]
    assert len(set(params)) == 10, "what was tried is not tried again"
    assert json.loads(out)["best"]


def own(folder: Path, fault: str | None = None, **search: Any) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "slow.py").write_text(SLOW)
    config = {
        "objective": {"function": "slow.scored", "metric": "score"},
        "space": {"k": [1, 2, 3, 4]},
        "pipeline": {"fault": fault} if fault else {},
        "search": {"name": "grid", "concurrency": 2, **search},
    }
    write(folder, config)


def failed(folder: Path) -> dict[int, str]:
    rows = [row for row in read_log(folder_of(folder)).rows if row["kind"] == "trial" and row["error"]]
    return {row["trial"]: row["error"] for row in rows}


def test_a_trial_that_hangs_is_ended_and_the_others_go_on(tmp_path: Path) -> None:
    own(tmp_path, "hang", trial_timeout_s=4)
    started = time.monotonic()
    code, out, err = run(tmp_path, "tune", "rag.yaml", "--json", "-q")
    assert code == 0, err
    assert time.monotonic() - started < 100
    (error,) = failed(tmp_path).values()
    assert "took longer than the 4 s of search.trial_timeout_s" in error
    found = json.loads(out)
    assert (found["trials"], found["failed"], found["best"]["params"]["k"]) == (4, 1, 4)


def test_a_trial_whose_worker_dies_goes_on_in_another(tmp_path: Path) -> None:
    own(tmp_path, "die once")
    code, out, err = run(tmp_path, "tune", "rag.yaml", "--json", "-q")
    assert code == 0, err
    found = json.loads(out)
    assert (found["trials"], found["failed"]) == (4, 0)
    assert "lost its worker and goes on in another" in (folder_of(tmp_path) / "raytuner.log").read_text()


def test_a_trial_that_always_kills_its_worker_fails_in_the_end(tmp_path: Path) -> None:
    own(tmp_path, "die", max_retries=2)
    code, out, err = run(tmp_path, "tune", "rag.yaml", "--json", "-q")
    assert code == 0, err
    found = json.loads(out)
    assert (found["trials"], found["failed"]) == (4, 1)
    evaluated = (tmp_path / "evaluated.txt").read_text().splitlines()
    assert evaluated.count("2 0") == 3


def test_an_error_of_the_objective_is_not_tried_again(tmp_path: Path) -> None:
    own(tmp_path)
    text = SLOW.replace("os._exit(1)\n        if params", "raise ValueError('always')\n        if params", 1)
    (tmp_path / "slow.py").write_text(text)
    write(tmp_path, yaml.safe_load((tmp_path / "rag.yaml").read_text()) | {"pipeline": {"fault": "die"}})
    code, _, err = run(tmp_path, "tune", "rag.yaml", "--json", "-q")
    assert code == 0, err
    assert "always" in next(iter(failed(tmp_path).values()))
    assert (tmp_path / "evaluated.txt").read_text().splitlines().count("2 0") == 1


def test_changed_documents_are_refused_and_forced(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("Tides follow the moon. " * 30)
    (tmp_path / "q.jsonl").write_text(
        json.dumps({"id": "q1", "question": "What do tides follow?", "answer": "the moon"})
    )
    config = {
        "documents": "docs",
        "questions": "q.jsonl",
        "pipeline": {"retriever": "bm25"},
        "space": {"chunk_size": [32, 64]},
        "objective": {"metric": "token_f1"},
    }
    write(tmp_path, config)
    assert run(tmp_path, "tune", "rag.yaml", "-q")[0] == 0
    folder = folder_of(tmp_path)
    (tmp_path / "docs" / "a.md").write_text("Tides follow the sun. " * 30)
    code, _, err = run(tmp_path, "resume", folder.name, "-q")
    assert (code, err.count("\n")) == (2, 1)
    assert "documents changed: 1 (a.md)" in err
    assert run(tmp_path, "resume", folder.name, "-q", "--force")[0] == 0
    assert "goes on though it has changed" in (folder / "raytuner.log").read_text()
    assert os.environ.get("RAYTUNER_CACHE")
