"""Mistakes and mishaps that show only while a search runs."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

HANDBOOK = "# Handbook\n\nEach employee has 30 days of paid leave a year.\nThe team lead approves each request.\n"
QUESTION = {"question": "How many days?", "answer": "30 days.", "document": "handbook.md"}
CONFIG: dict[str, Any] = {
    "documents": "docs",
    "questions": "questions.jsonl",
    "pipeline": {"retriever": "bm25"},
    "space": {"chunk_size": [16, 32], "top_k": [1, 2]},
}


def start(folder: Path, config: dict[str, Any], **environment: str) -> subprocess.Popen[str]:
    (folder / "docs").mkdir()
    (folder / "docs" / "handbook.md").write_text(HANDBOOK)
    (folder / "questions.jsonl").write_text(json.dumps(QUESTION))
    (folder / "rag.yaml").write_text(yaml.safe_dump({**CONFIG, **config}))
    return subprocess.Popen(
        [sys.executable, "-m", "raytuner", "tune", "rag.yaml"],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=200)
    assert "Traceback" not in out + err
    return process.returncode, out + err


def test_concurrency_beyond_the_slots_is_said_and_lowered(tmp_path: Path) -> None:
    code, said = ended(start(tmp_path, {"search": {"concurrency": 99}}))
    assert code == 0, said
    assert "concurrency 99 is more than fits" in said


def test_no_disk_space_ends_with_one_line_and_keeps_what_was_finished(
    tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    tiny_disk = small_disk("48k")  # little more than the beginning of a run
    space = {"chunk_size": {"int": [8, 200]}, "top_k": {"int": [1, 3]}}
    search = {"name": "random", "trials": 60, "scheduler": "fifo"}  # else none ends before they all do
    code, said = ended(start(tmp_path, {"space": space, "search": search, "run": {"folder": str(tiny_disk)}}))
    assert code == 1, said
    assert "No space left on device" in said
    assert "raytuner show" in said
    (run,) = tiny_disk.iterdir()
    shown = subprocess.run(
        [sys.executable, "-m", "raytuner", "show", str(run), "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(shown.stdout)["trials"] >= 1


class Changing(BaseHTTPRequestHandler):
    """An embedding service whose vectors become longer."""

    lengths: Iterator[int]

    def do_GET(self) -> None:  # the name is the library's
        self._answer({"data": [{"id": "changing"}]})

    def do_POST(self) -> None:  # the name is the library's
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["input"]
        length = next(self.lengths)
        data = [{"object": "embedding", "index": i, "embedding": [0.5] * length} for i in range(len(texts))]
        self._answer({"object": "list", "model": "changing", "data": data, "usage": {}})

    def _answer(self, value: object) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""


@pytest.mark.parametrize("good", [1, 2])  # requests: for the chunks of a trial, and for its question
def test_a_changing_dimension_fails_with_one_line(tmp_path: Path, good: int) -> None:
    Changing.lengths = itertools.chain(itertools.repeat(3, good), itertools.count(4))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Changing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    model = {"model": "openai-like:changing", "base_url": f"http://127.0.0.1:{server.server_port}/v1"}
    config = {"models": {"changing": model}, "pipeline": {"embedding": "changing"}, "search": {"concurrency": 1}}
    code, said = ended(start(tmp_path, config))
    server.shutdown()
    assert code == 1, said
    assert "dimension does not change" in said
    assert ("what was finished is kept: raytuner show" in said) == (good == 2)


@pytest.mark.parametrize("seconds", [0.8, 2.0, 4.0, 7.0])
def test_ctrl_c_at_every_stage_ends_quietly(tmp_path: Path, seconds: float) -> None:
    metric = "import time\n\ndef slow(evidence):\n    time.sleep(1)\n    return 1.0\n"
    (tmp_path / "own_metric.py").write_text(metric)
    process = start(tmp_path, {"objective": {"metric": "own_metric.slow"}, "space": {"chunk_size": {"int": [8, 200]}}})
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    code, said = ended(process)
    # One that comes while a module is imported that calls `exec`, as that of dataclasses, ends Python by the signal
    # itself, though it was caught. A shell says 130 of both.
    assert code in (130, -signal.SIGINT), said


BROKEN = """
from raytuner.search import Algorithm
from raytuner.search.ask_tell import AskTellSearcher

class Broken(AskTellSearcher):
    def __init__(self, task, where):
        super().__init__(task)
        self.points, self.where, self.told = task.space.points(), where, 0

    def ask(self):
        if self.where == "ask" and self.told == 3:
            raise ArithmeticError("the matrix is singular\\nand more")
        return next(self.points)  # the first is the default configuration, which came first

    def tell(self, raw, loss):
        self.told += 1
        if self.where == "tell" and self.told == 3:
            raise ArithmeticError("the matrix is singular\\nand more")

def broken(task, *, where: str = "ask"):
    return Broken(task, where)

ALGORITHM = Algorithm("broken", "breaks", broken)
"""


@pytest.mark.parametrize("where", ["ask", "tell"])
def test_an_algorithm_that_raises_ends_the_search_in_one_line(tmp_path: Path, where: str) -> None:
    info = tmp_path / "broken_search-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-search\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[raytuner.search]\nbroken = broken_search:ALGORITHM\n")
    (tmp_path / "broken_search.py").write_text(BROKEN)
    search = {"name": "broken", "options": {"where": where}, "concurrency": 1}
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    code, said = ended(start(tmp_path, {"search": search}, PYTHONPATH=path))
    assert code == 1
    [line] = [line for line in said.splitlines() if line.startswith("error: ")]
    start_of_line = "error: search 'broken' failed after 2 configurations (ArithmeticError: the matrix is singular); "
    assert line.startswith(f"{start_of_line}use another search; what was finished is kept: raytuner show ")
    folder = line.rpartition(" ")[2]
    show = [sys.executable, "-m", "raytuner", "show", folder]
    shown = subprocess.run(show, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert [line.split()[0] for line in shown.stdout.splitlines()[:3]] == ["trial", "1", "2"]
