"""What the report says of runs in every state."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from made_run import make_run

from raytuner.errors import DataError
from raytuner.goals import Goal
from raytuner.page.charts import charts_of
from raytuner.page.data import report_of, run_data
from raytuner.page.write import page
from raytuner.run_folder import LOG, RUN, holding
from raytuner.saved_run import load_study, result_of


def copied(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder))


def changed(run: Path, **values: Any) -> None:
    found = json.loads((run / RUN).read_text())
    (run / RUN).write_text(json.dumps({**found, **values}))


def test_the_answer_is_that_of_the_result(run: Path) -> None:
    found = run_data(run, texts=False)
    result = result_of(load_study(run), json.loads((run / RUN).read_text()))
    answer = found["answer"]
    assert answer["best"]["trial"] == result.best.trial
    assert answer["best"]["params"] == result.best.params
    assert answer["default"]["trial"] == 1
    assert [tied["trial"] for tied in answer["ties"]] == result.confirmation.ties  # type: ignore[union-attr]
    versus = result.versus_default
    assert versus is not None
    assert (answer["versus_default"]["mean"], answer["versus_default"]["low"]) == (versus.mean, versus.low)
    assert answer["headline"].startswith(f"Take trial {result.best.trial}: span_f4 ")
    assert "held-out" in answer["headline"]


def test_every_trial_is_there_with_its_state(run: Path) -> None:
    found = run_data(run, texts=False)
    states = {row["trial"]: row["state"] for row in found["trials"]}
    assert len(states) == 26
    assert (states[3], states[5], states[9], states[1]) == ("stopped", "failed", "stopped", "scored")
    assert next(row for row in found["trials"] if row["trial"] == 5)["error"] == "ValueError: <b>broken</b>"


def test_time_and_reuse_by_stage_are_those_of_the_log(run: Path) -> None:
    spent = run_data(run, texts=False)["spent"]
    stages = {row["stage"]: row for row in spent["stages"]}
    rows = [json.loads(line) for line in (run / LOG).read_text().splitlines()]
    logged = [row["stages"] for row in rows if row.get("stages")]
    assert set(stages) == {"split (sentence)", "bm25 search"}  # notes beside artefacts are none
    assert stages["bm25 search"]["made"] == sum(own["bm25_search"][0] for own in logged)
    assert spent["calls"] == []


def test_scores_of_leaders_are_side_by_side_and_the_worst_first(run: Path) -> None:
    found = run_data(run, texts=False)
    questions = found["questions"]
    study = load_study(run)
    first = study.trials[questions["leaders"][0]["trial"]]
    assert len(questions["rows"]) == 60
    assert sum(row["held_out"] for row in questions["rows"]) == 20
    own = [row["scores"][0] for row in questions["rows"]]
    assert own == sorted(own)
    every = {**first.questions, **first.held_out}
    for row in questions["rows"]:
        assert row["scores"][0] == round(every[row["id"]]["span_f4"], 4)
        assert len(row["scores"]) == len(questions["leaders"])


def test_all_charts_have_data_and_a_table_and_name_fields_that_are_there(run: Path) -> None:
    found = run_data(run, texts=False)
    charts = {chart["id"]: chart for chart in charts_of(found)}
    wanted = {"versus-default", "history", "importance", "parallel", "pair-1", "stopped", "time", "reused", "questions"}
    assert wanted <= set(charts)
    for chart in charts.values():
        assert chart["table"]["rows"], chart["id"]
        assert all(len(row) == len(chart["table"]["head"]) for row in chart["table"]["rows"]), chart["id"]
        json.dumps(chart["spec"], allow_nan=False)
    history = charts["history"]["spec"]["data"]["values"]
    best = [row["best"] for row in history]
    assert best == sorted(best)
    assert best[-1] == max(row["score"] for row in history)


def test_several_objectives_have_a_front(tmp_path: Path) -> None:
    goals = [
        Goal.model_validate({"metric": "span_recall", "mode": "max"}),
        Goal.model_validate({"metric": "chunk_tokens", "mode": "min", "limit": 2000.0}),
    ]
    run = make_run(tmp_path / "two", trials=20, goals=goals)
    found = run_data(run, texts=False)
    chart = next(chart for chart in charts_of(found) if chart["id"] == "pareto-1")
    kinds = {row["trial"]: row["kind"] for row in chart["spec"]["data"]["values"]}
    result = result_of(load_study(run), json.loads((run / RUN).read_text()))
    assert kinds[result.knee.trial or 0] == "knee"
    on_front = {trial for trial, kind in kinds.items() if kind in ("knee", "on the front")}
    assert on_front == {found.trial for found in result.pareto}
    beyond = {trial for trial, kind in kinds.items() if kind == "beyond a limit"}
    assert beyond == {found.trial for found in result.beyond_limit}


def test_a_running_run_is_shown_as_far_as_it_is(tmp_path: Path) -> None:
    run = make_run(tmp_path / "made", trials=6, held_out=0, ended=False)
    with holding(run):
        found = run_data(run, texts=False)
    assert found["state"] == "running"
    assert found["answer"]["versus_default"] is None or not found["answer"]["versus_default"]["held_out"]
    assert run_data(run, texts=False)["state"] == "cut off"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"trials": 0}, "no trial has begun"),
        ({"trials": 3, "failed": [1, 2, 3]}, "all 3 trials that have ended failed: ValueError: <b>broken</b>"),
        ({"trials": 2, "stopped": [1, 2]}, "no trial has been scored yet"),
    ],
)
def test_a_run_without_a_result_says_why(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    run = make_run(tmp_path / "made", **options)
    report = report_of([run])
    assert report["runs"][0]["answer"] is None
    assert report["runs"][0]["no_answer"] == said
    assert "<b>broken" not in page(report)


def test_limits_that_nothing_keeps_are_said(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "made",
        goals=[Goal.model_validate({"metric": "chunk_tokens", "mode": "min", "limit": 1.0})],
        held_out=0,
    )
    found = run_data(run, texts=False)
    assert found["answer"] is None
    assert "chunk_tokens" in found["no_answer"]


def test_a_log_of_before_has_no_stages_and_a_damaged_line_is_noted(run: Path, tmp_path: Path) -> None:
    old = copied(run, tmp_path / "old")
    lines = [json.loads(line) for line in (old / LOG).read_text().splitlines()]
    texts = [json.dumps({name: value for name, value in line.items() if name != "stages"}) for line in lines]
    texts[4] = "{damaged"
    (old / LOG).write_text("\n".join(texts) + "\n" + '{"kind": "tri')
    found = run_data(old, texts=False)
    assert found["spent"]["stages"] == []
    assert any("line 5 is damaged" in note for note in found["notes"])


def test_damaged_and_newer_runs_are_refused(run: Path, tmp_path: Path) -> None:
    newer = copied(run, tmp_path / "newer")
    changed(newer, format=99)
    with pytest.raises(DataError, match="newer raytuner"):
        run_data(newer)
    broken = copied(run, tmp_path / "broken")
    (broken / RUN).write_text("{")
    with pytest.raises(DataError, match=r"run\.json"):
        run_data(broken)
    torn = copied(run, tmp_path / "torn")
    (torn / "held_out.json").write_text("{}")
    with pytest.raises(DataError, match=r"held_out\.json is damaged"):
        run_data(torn)
    for number, values in enumerate(({"seconds": "long"}, {"notes": 5}, {"objectives": [{"metric": 3}]})):
        strange = copied(run, tmp_path / f"strange-{number}")
        changed(strange, **values)
        with pytest.raises(DataError, match="damaged"):
            run_data(strange, texts=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no readable"):
        run_data(tmp_path / "empty")
