"""What workers log and warn of reaches the run folder."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raytuner import RayTuneParamTuner
from raytuner.run_log import RUN_LOG
from raytuner.worker_log import LONGEST, MOST, Line, WorkerLog

KEY = "sk-0123456789"
PASSAGE = "Each employee has 30 days of paid leave a year."


@pytest.fixture
def log() -> Iterator[WorkerLog]:
    opened = WorkerLog().open()
    yield opened
    opened.close()


def texts(log: WorkerLog) -> list[str]:
    return [line.text for line in log.take(str)]


def test_own_lines_from_info_on_and_warnings_of_others(log: WorkerLog) -> None:
    for name in ("raytuner", "raytuner.models", "theirs", "ray.tune"):
        logger = logging.getLogger(name)
        logger.debug("a detail")
        logger.info("a fact of %s", name)
        logger.warning("a warning of %s", name)
    assert log.take(str) == [
        Line(logging.INFO, "a fact of raytuner", True),
        Line(logging.WARNING, "a warning of raytuner", True),
        Line(logging.INFO, "a fact of raytuner.models", True),
        Line(logging.WARNING, "a warning of raytuner.models", True),
        Line(logging.WARNING, "theirs: a warning of theirs", False),
    ]


def test_each_is_taken_once_and_not_too_many(log: WorkerLog) -> None:
    for number in [*range(2 * MOST), 0, 1]:
        logging.getLogger("theirs").warning("number %d", number)
    assert texts(log) == [f"theirs: number {number}" for number in range(MOST)]
    logging.getLogger("theirs").warning("number 0")
    assert texts(log) == []


def test_warnings_of_python_are_taken_and_still_shown(log: WorkerLog) -> None:
    with pytest.warns(UserWarning, match="the format is old"):
        warnings.showwarning = log._warning  # which pytest has replaced to see what is shown
        warnings.warn("the format is old", stacklevel=1)
    assert texts(log) == ["UserWarning: the format is old"]


def test_secrets_documents_and_long_lines_are_cut(log: WorkerLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", KEY)
    logging.getLogger("theirs").warning("%s and %s", KEY, PASSAGE)
    logging.getLogger("raytuner").warning("x" * 1000)
    first, second = log.take(lambda text: text.replace(PASSAGE, "<withheld>"))
    assert first.text == "theirs: <SOME_API_KEY> and <withheld>"
    assert len(second.text) == LONGEST + 1


def test_it_is_no_hindrance_to_what_a_module_does_with_logging(log: WorkerLog) -> None:
    root, level = logging.getLogger(), logging.getLogger().level
    before, root.handlers = root.handlers, []
    logging.basicConfig(level=logging.ERROR)
    assert (len(root.handlers), root.level) == (1, logging.ERROR)
    root.handlers = before
    root.setLevel(level)
    logging.getLogRecordFactory()("theirs", logging.ERROR, "file", 1, "%d is no number", ("x",), None)
    assert texts(log) == []


def test_logging_is_put_back() -> None:
    logger, before = logging.getLogger("raytuner"), logging.getLogRecordFactory()
    level, shown, handlers = logger.level, warnings.showwarning, list(logger.handlers)
    WorkerLog().open().close()
    assert (logging.getLogRecordFactory(), warnings.showwarning) == (before, shown)
    assert (logger.level, logger.handlers) == (level, handlers)


@pytest.mark.ray
@pytest.mark.timeout(240)
@pytest.mark.usefixtures("local_ray")
def test_they_are_in_the_log_of_the_run_once(tmp_path: Path) -> None:
    def objective(params: dict[str, Any]) -> float:
        os.environ["SOME_API_KEY"] = KEY
        logging.getLogger("raytuner").warning("chunks are cut")
        logging.getLogger("raytuner").info("a fact")
        logging.getLogger("own_module").error("cannot parse %s with %s", params["documents"][0], KEY)
        logging.getLogger("own_module").info("too much")
        warnings.warn("old format", stacklevel=1)
        logging.getLogger("own_module").warning("a is %s", params["a"])
        return float(params["a"])

    result = RayTuneParamTuner(
        param_fn=objective,
        param_dict={"a": [1, 2, 3, 4, 5, 6]},
        fixed_param_dict={"documents": [PASSAGE]},
        storage_path=tmp_path,
    ).tune()
    lines = [line.split(" ", 1)[1] for line in (Path(result.run or "") / RUN_LOG).read_text().splitlines()]
    for line in (
        "WARNING chunks are cut",
        "INFO a fact",
        "ERROR own_module: cannot parse <text withheld> with <SOME_API_KEY>",
        "WARNING UserWarning: old format",
        *(f"WARNING own_module: a is {a}" for a in range(1, 7)),
    ):
        assert lines.count(line) == 1, line
    assert result.notes == ["chunks are cut"]
    assert not any("too much" in line or PASSAGE in line or KEY in line for line in lines)
    first_trial = next(number for number, line in enumerate(lines) if " trial " in f" {line}")
    assert lines.index("WARNING chunks are cut") < first_trial  # at once, not at the end
