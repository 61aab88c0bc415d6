from __future__ import annotations

import io
import re

import pytest

from raytuner.objective import Block, Report
from raytuner.progress import Progress
from raytuner.study import Study


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def search(study: Study, trials: int, fail: int | None = None) -> None:
    for number in range(1, trials + 1):
        study.start(number, {"top_k": number})
        values = {f"q{number}": {"score": number / 10}}
        study.report(number, Report({"score": number / 10}, Block(0, values, 0.1)))
        study.finish(number, 0.1, "ValueError: x" if number == fail else None)


def test_plain_lines_are_few_and_say_where_it_stands() -> None:
    stream = io.StringIO()
    with Progress(20, stream=stream) as progress:
        search(Study("score", "max", listeners=(progress,)), 20, fail=20)
    lines = stream.getvalue().splitlines()
    assert 1 <= len(lines) <= 3
    assert re.fullmatch(r"score best 1\.9000 \(trial 19\), done 20/20, running 0, failed 1, left 0 s", lines[-1])


def test_a_terminal_gets_a_live_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    with Progress(3, stream=stream) as progress:
        study = Study("score", "max", listeners=(progress,))
        search(study, 2)
        study.start(3, {"top_k": 3})
        table = progress._table(study)
    assert "\x1b[" in stream.getvalue()
    from rich.console import Console

    console = Console(width=100, file=io.StringIO())
    console.print(table)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert re.search(r"trial\s+top_k\s+score", shown)
    assert re.search(r"2\s+2\s+0\.2000\s+best", shown)
    assert re.search(r"3\s+3\s+-\s+0 questions", shown)
    assert "done 2/3" in shown


def test_no_color_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    with Progress(3, stream=stream) as progress:
        search(Study("score", "max", listeners=(progress,)), 3)
    assert "done 3/3" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_quiet_shows_nothing() -> None:
    stream = Terminal()
    with Progress(3, quiet=True, stream=stream) as progress:
        search(Study("score", "max", listeners=(progress,)), 3)
    assert stream.getvalue() == ""
