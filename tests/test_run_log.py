from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from raytuner.objective import Report
from raytuner.run_log import RUN_LOG, RunLog
from raytuner.study import Study

logger = logging.getLogger("raytuner")
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (INFO|WARNING|ERROR) .+")


def lines(folder: Path) -> list[str]:
    text = (folder / RUN_LOG).read_text(encoding="utf-8")
    assert all(LINE.fullmatch(line) for line in text.splitlines())
    return [line.split(" ", 1)[1] for line in text.splitlines()]


def test_what_was_said_before_there_is_a_folder_is_in_it(tmp_path: Path) -> None:
    logger.warning("before it begins")
    with RunLog() as log:
        logger.warning("%d spans were dropped", 2)
        log.open(tmp_path)
        logger.warning("later")
        assert lines(tmp_path) == ["WARNING 2 spans were dropped", "WARNING later"]  # at once
    logger.warning("after its end")
    assert len(lines(tmp_path)) == 2


def test_it_holds_info_without_changing_what_is_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = logger.level
    caplog.set_level(logging.ERROR, logger="raytuner")
    with RunLog() as log:
        log.open(tmp_path)
        logger.debug("a detail")
        logger.info("a fact")
        logger.warning("a warning")
        logger.error("an error")
    assert lines(tmp_path) == ["INFO a fact", "WARNING a warning", "ERROR an error"]
    assert caplog.messages == ["an error"]
    assert logger.level == logging.ERROR
    logger.setLevel(before)


def test_secrets_and_line_ends_are_taken_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-0123456789")
    with RunLog() as log:
        logger.warning("the key sk-0123456789\nis wrong")
        log.open(tmp_path)
    assert lines(tmp_path) == ["WARNING the key <SOME_API_KEY> is wrong"]


def test_trials_and_the_end_are_noted(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lost"), RunLog() as log:
        log.open(tmp_path)
        study = Study("score", "max", listeners=(log.on_change,))
        for number, error in ((1, None), (2, "Traceback\n  File x\n    code\nValueError: wrong")):
            study.start(number, {"top_k": 1})
            study.report(number, Report({"score": 0.5}))
            study.finish(number, 1.5, error)
        raise ValueError("lost")
    assert lines(tmp_path) == [
        "INFO trial 1: score 0.5000, 1.5 s",
        "ERROR trial 2 failed after 1.5 s: ValueError: wrong",
        "ERROR ended by ValueError: lost",
    ]
