from __future__ import annotations

import json
import math
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from raytuner.errors import AllTrialsFailedError, DataError, UserError
from raytuner.objective import Block, Report
from raytuner.report import as_json, as_text
from raytuner.run_folder import LOG, RUN, find_run, new_folder, read_run, write_json
from raytuner.saved_run import load_study, result_of
from raytuner.study import Study
from raytuner.trial_log import mend, read_log


def block(index: int, **scores: float) -> Report:
    values = {question: {"score": score} for question, score in scores.items()}
    return Report({"score": sum(scores.values()) / len(scores)}, Block(index, values, 0.25))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run with two scored trials, one that failed, and one in flight."""
    folder = new_folder(tmp_path, "demo")
    write_json(folder / RUN, {"name": "demo", "metric": "score", "mode": "max", "default_trial": 1, "seconds": 3.5})
    study = Study("score", "max", folder)
    for number, score in ((1, 0.5), (2, 0.75)):
        study.start(number, {"top_k": number})
        study.report(number, block(0, q1=score, q2=score))
        study.finish(number, 1.0)
    study.start(3, {"top_k": 3})
    study.report(3, block(0, q1=1.0))
    study.finish(3, 1.0, "Traceback\nValueError: bad")
    study.start(4, {"top_k": 4})
    study.report(4, block(0, q1=0.1))
    return folder


def test_a_default_that_failed_is_spoken_of() -> None:
    study = Study("score", "max")
    for number in range(1, 7):
        study.start(number, {"top_k": number})
        if number == 2:
            study.report(number, Report({"score": 0.5}))
        study.finish(number, 1.0, None if number == 2 else f"raytuner.errors.RaytunerError: out of {number}")
    result = study.result(default=5)
    assert result.default is None
    assert result.default_failed is not None
    assert result.default_failed.params == {"top_k": 5}
    failed = [line for line in as_text(result, "score", "max").splitlines() if "failed: r" in line]
    assert failed == [
        "the default configuration failed: raytuner.errors.RaytunerError: out of 5",
        *(f"trial {number} failed: raytuner.errors.RaytunerError: out of {number}" for number in (1, 3, 4)),
    ]
    assert study.result(default=2).default_failed is study.result().default_failed is None


def test_every_block_and_trial_is_a_line(folder: Path) -> None:
    rows = read_log(folder).rows
    assert [(row["kind"], row["trial"]) for row in rows] == [
        ("start", 1), ("block", 1), ("trial", 1), ("start", 2), ("block", 2), ("trial", 2),
        ("start", 3), ("block", 3), ("trial", 3), ("start", 4), ("block", 4),
    ]  # fmt: skip
    rows = [row for row in rows if row["kind"] != "start"]
    assert rows[0]["questions"] == ["q1", "q2"]
    assert rows[0]["values"] == {"q1": {"score": 0.5}, "q2": {"score": 0.5}}
    assert rows[0]["seconds"] == 0.25
    assert rows[5]["error"].endswith("ValueError: bad")
    assert rows[5]["score"] is None


def test_reading_back_gives_the_same_result(folder: Path) -> None:
    study = load_study(folder)
    result = result_of(study, read_run(folder))
    assert [run.score for run in result.run_results] == [0.75, 0.5]
    assert result.best_run_result.questions["q2"] == {"score": 0.75}
    assert result.default is not None
    assert result.default.trial == 1
    assert as_json(result) == {
        "best": {"trial": 2, "params": {"top_k": 2}, "score": 0.75, "metrics": {"score": 0.75}},
        "default": {"trial": 1, "params": {"top_k": 1}, "score": 0.5, "metrics": {"score": 0.5}},
        "trials": 3,
        "robustness": {"win_share": 1.0, "rivals": {}, "without": []},
        "failed": 1,
        "stopped": 0,
        "run": str(folder),
        "seconds": 3.5,
    }
    text = as_text(result, "score", "max")
    assert "0.2500 more than the default's 0.5000, 50%" in text
    assert "trial 3 failed: ValueError: bad" in text


def test_a_torn_last_line_is_dropped_a_damaged_one_is_reported(folder: Path) -> None:
    log = folder / LOG
    whole = log.read_text()
    log.write_text(whole[:-20])
    assert (len(read_log(folder).rows), read_log(folder).damaged) == (10, [])
    lines = whole.splitlines()
    lines[2] = lines[2][:30]
    lines.insert(5, '{"kind": "of a later version"}')
    log.write_text("\n".join(lines) + "\n")
    assert (len(read_log(folder).rows), read_log(folder).damaged) == (10, [3])
    assert "log.jsonl: line 3 is damaged and left out" in load_study(folder).notes


@pytest.mark.parametrize("cut", [1, 20, 0])
def test_what_is_appended_after_a_torn_line_is_a_line_of_its_own(folder: Path, cut: int) -> None:
    log = folder / LOG
    whole = log.read_bytes()
    log.write_bytes(whole[:-cut] if cut else whole)
    mend(log)
    Study("score", "max", folder).start(5, {"top_k": 5})
    found = read_log(folder)
    assert (len(found.rows), found.damaged) == ({1: 12, 20: 11, 0: 12}[cut], [])


def test_the_run_folder_is_its_owners_and_unique(tmp_path: Path) -> None:
    folders = [new_folder(tmp_path / "deep" / "runs", "x") for _ in range(3)]
    assert len(set(folders)) == 3
    assert all(folder.stat().st_mode & 0o077 == 0 for folder in folders)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"run\.folder"):
        new_folder(tmp_path / "file", "x")


def test_runs_are_found_by_path_folder_and_name(folder: Path, tmp_path: Path) -> None:
    for run in (str(folder), folder.name, "demo"):
        assert find_run(run, tmp_path) == folder
    with pytest.raises(DataError, match="dem: no such run"):
        find_run("dem", tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{", '{"metric": "x"}', None])
def test_a_folder_that_is_no_run(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / RUN).write_text(content)
    with pytest.raises(DataError, match=r"no readable run\.json"):
        load_study(tmp_path)


def test_values_that_json_lacks_and_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-abcdef123456")
    study = Study("score", "max", tmp_path)
    study.start(1, {"prompt": object, "sizes": (1, 2)})
    study.report(1, Report({"score": 1.0, "other": math.nan}))
    study.finish(1, 1.0)
    study.start(2, {})
    study.finish(2, 1.0, "Error: key sk-abcdef123456 refused")
    text = (tmp_path / LOG).read_text()
    assert "sk-abcdef" not in text
    assert "<MY_API_KEY>" in text
    row = json.loads(text.splitlines()[1])
    assert row["metrics"] == {"score": 1.0, "other": None}
    assert row["params"] == {"prompt": "object", "sizes": [1, 2]}


def test_min_sorts_the_other_way_and_ties_keep_their_order() -> None:
    study = Study("loss", "min")
    for number, loss in enumerate((2.0, 1.0, 1.0), 1):
        study.start(number, {})
        study.report(number, Report({"loss": loss}))
        study.finish(number, 0.0)
    assert [trial.number for trial in study.scored] == [2, 3, 1]


def test_no_trial_at_all() -> None:
    with pytest.raises(AllTrialsFailedError, match="no trial was finished"):
        Study("score", "max").result()


def test_what_leads_is_said_where_a_race_was_interrupted() -> None:
    study = Study("score", "max")
    for number, score in enumerate((0.2, 0.4, 0.3), 1):
        study.start(number, {"top_k": number})
        study.report(number, block(0, q1=score, q2=score))
    study.start(4, {"top_k": 4})
    with pytest.raises(KeyboardInterrupt, match=r"of 3 on 2 questions trial 2 leads with score 0\.4000 \(top_k=2\)"):
        study.result(interrupted=True)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        Study("score", "max").result(interrupted=True)


def test_listeners_see_every_change() -> None:
    seen: list[tuple[int, bool]] = []
    study = Study("score", "max", listeners=(lambda _, trial: seen.append((trial.number, trial.finished)),))
    study.start(1, {})
    study.report(1, Report({"score": 1.0}))
    study.finish(1, 0.0)
    assert seen == [(1, False), (1, False), (1, True)]


def test_text_that_looks_like_an_end_of_line_or_half_a_character(tmp_path: Path) -> None:
    study = Study("score", "max", tmp_path)
    prompt = "one\u2028two\u0085three\ud800"
    study.start(1, {"prompt": prompt})
    study.report(1, Report({"score": 1.0}))
    study.finish(1, 0.0)
    study.close()
    rows = read_log(tmp_path).rows
    assert [row["kind"] for row in rows] == ["start", "trial"]
    assert rows[0]["params"] == rows[1]["params"] == {"prompt": prompt}


@pytest.mark.parametrize("line", ["[]", "7", "{}", '{"kind": "trial", "trial": 1}', '{"kind": "block", "trial": 1}'])
def test_rows_that_are_no_rows(folder: Path, line: str) -> None:
    log = folder / LOG
    log.write_text(line + "\n" + log.read_text())
    expected = load_study(folder)
    assert expected.notes == ["log.jsonl: line 1 is damaged and left out"]
    assert expected.ended == 3


def test_an_interrupted_run_says_so(folder: Path) -> None:
    run = read_run(folder)
    run.update(interrupted=True, seconds=None)
    text = as_text(result_of(load_study(folder), run), "score", "max")
    assert "interrupted" in text
    assert "time unknown" in text


def test_the_summary_of_an_error_is_the_exception_and_its_first_line() -> None:
    from pydantic import BaseModel

    from raytuner.results import FailedTrial

    class Model(BaseModel):
        number: int

    def error_of(function: Callable[[], object]) -> str:
        try:
            function()
        except Exception:
            return FailedTrial(params={}, error=traceback.format_exc()).summary
        raise AssertionError

    def chained() -> None:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second\nline") from error

    assert "ValidationError: 1 validation error for Model" in error_of(lambda: Model(number="x"))  # type: ignore[arg-type]
    assert error_of(chained) == "ValueError: second"
    assert FailedTrial(params={}, error="just a line").summary == "just a line"
    assert FailedTrial(params={}, error="").summary == "unknown error"
