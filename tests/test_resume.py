"""What a run needs to go on, and what is refused; nothing here starts Ray."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from raytuner import TuneConfig, resume
from raytuner.cli import cli
from raytuner.errors import ConfigError, DataError, UserError
from raytuner.going_on import check_unchanged, going_on, identity, load, more, planned
from raytuner.jobs.order import Order
from raytuner.jobs.package import pack
from raytuner.plan import make_plan
from raytuner.run_folder import RUN, holding, read_run, write_json
from raytuner.study import Study


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A config with documents and questions beside it."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("Tides follow the moon. Cats sleep a lot.")
    (tmp_path / "docs" / "b.md").write_text("Wheat is dear this year.")
    row = {"id": "q1", "question": "What do tides follow?", "answer": "the moon"}
    (tmp_path / "q.jsonl").write_text(json.dumps(row))
    config = {
        "documents": "docs",
        "questions": "q.jsonl",
        "pipeline": {"retriever": "bm25"},
        "space": {"chunk_size": [64, 128], "top_k": [1, 2]},
        "objective": {"metric": "token_f1"},
        "search": {"name": "random", "trials": 3},
        "budget": {"minutes": 5},
    }
    (tmp_path / "rag.yaml").write_text(yaml.safe_dump(config))
    return tmp_path


@pytest.fixture
def run(given: Path) -> Path:
    """A run of it, as a driver that was killed leaves it."""
    folder = given / "runs" / "rag-20260101-000000"
    folder.mkdir(parents=True)
    config = TuneConfig.load(given / "rag.yaml")
    plan = make_plan(config)
    known = {"format": 3, "name": "rag", "metric": "token_f1", "mode": "max", "trials": 3, "search": "random"}
    write_json(folder / RUN, {**known, **identity(plan)})
    (folder / "config.yaml").write_text(config.text)
    Study("token_f1", "max", folder).start(1, {"chunk_size": 64}, {"chunk_size": "64", "top_k": "1"})
    return folder


def plan_of(run: Path, *overrides: str) -> Any:
    return make_plan(load(run, overrides))


def test_an_unchanged_run_may_go_on(run: Path, given: Path) -> None:
    (given / "rag.yaml").write_text("the original is not needed")
    assert check_unchanged(plan_of(run), read_run(run)) == []
    free = ("budget.minutes=9", "search.trials=7", "search.name=optuna", "run.address=auto", "run.resources={cpu: 2}")
    assert check_unchanged(plan_of(run, *free), read_run(run)) == []
    assert more(run, 4) == ["search.trials=7"]


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("space.top_k=[1,2,3]", r"space\.top_k: \[1, 2\] -> \[1, 2, 3\]"),
        ("pipeline.retriever=hybrid", r'pipeline\.retriever: "bm25" -> "hybrid"'),
        ("search.seed=7", r"search\.seed: null -> 7"),
        ("objective.metric=exact_match", r'objective\.metric: "token_f1" -> "exact_match"'),
    ],
)
def test_a_changed_config_is_refused_with_the_difference(run: Path, override: str, said: str) -> None:
    with pytest.raises(UserError, match=rf"cannot go on with what has changed: {said}.*--force"):
        check_unchanged(plan_of(run, override), read_run(run))
    assert check_unchanged(plan_of(run, override), read_run(run), force=True)


def test_changed_documents_and_questions_are_refused(run: Path, given: Path) -> None:
    (given / "docs" / "a.md").write_text("Tides follow the moon. Dogs bark.")
    (given / "docs" / "b.md").unlink()
    (given / "docs" / "c.md").write_text("New.")
    with pytest.raises(UserError) as caught:
        check_unchanged(plan_of(run), read_run(run))
    for said in ("documents changed: 1 (a.md)", "documents gone: 1 (b.md)", "documents new: 1 (c.md)"):
        assert said in str(caught.value)
    (given / "q.jsonl").write_text((given / "q.jsonl").read_text().replace("tides", "waves"))
    with pytest.raises(UserError, match=r"questions changed: 1 \(q1\)"):
        check_unchanged(plan_of(run), read_run(run))


def test_where_the_same_data_lies_may_change(run: Path, given: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("docs", "q.jsonl"):
        (given / name).rename(elsewhere / name)
    moved = (f"documents={elsewhere / 'docs'}", f"questions={elsewhere / 'q.jsonl'}", f"modules={elsewhere}")
    assert check_unchanged(plan_of(run, *moved), read_run(run)) == []
    (elsewhere / "docs" / "a.md").write_text("Tides follow the moon. Dogs bark.")
    with pytest.raises(UserError, match=r"cannot go on with what has changed: documents changed: 1 \(a\.md\)\. Undo"):
        check_unchanged(plan_of(run, *moved), read_run(run))
    with pytest.raises(UserError, match=r"documents\.encoding: "):
        check_unchanged(plan_of(run, *moved, "documents.encoding=cp1252"), read_run(run))


@pytest.fixture
def copied(given: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is in the storage of a job on a cluster whose head was lost: its paths lead into the job's own folder."""
    (given / "own.py").write_text("def right(evidence):\n    return float('moon' in str(evidence.contexts))\n")
    config = yaml.safe_load((given / "rag.yaml").read_text())
    (given / "rag.yaml").write_text(yaml.safe_dump({**config, "objective": {"metric": "own.right", "mode": "max"}}))
    there = tmp_path_factory.mktemp("job")
    package = pack(TuneConfig.load(given / "rag.yaml"), Order("job", "1", "3", [], []))
    with zipfile.ZipFile(package.write(there / "package.zip")) as archive:
        archive.extractall(there)
    plan = make_plan(TuneConfig.load(there / "config.yaml", ["run.folder=/the/jobs"]))
    folder = given / "storage" / "rag-20260101-000000"
    folder.mkdir(parents=True)
    known = {"format": 3, "name": "rag", "metric": "own.right", "mode": "max", "trials": 3, "search": "random"}
    write_json(folder / RUN, {**known, **identity(plan)})
    (folder / "config.yaml").write_text(plan.config.text)
    Study("own.right", "max", folder).start(1, {"chunk_size": 64}, {"chunk_size": "64", "top_k": "1"})
    shutil.rmtree(there)
    sys.modules.pop("own", None)
    monkeypatch.chdir(given)
    return folder


@pytest.mark.parametrize("base", ["", "absolute"])
def test_a_copy_of_a_run_whose_head_was_lost_goes_on(copied: Path, given: Path, base: str) -> None:
    assert yaml.safe_load((copied / "config.yaml").read_text())["run"]["address"] == "auto"
    assert not Path(read_run(copied)["base"]).exists()
    start = f"{given}/" if base else ""
    where = [f"documents={start}docs", f"questions={start}q.jsonl", 'run.address="local"']
    plan = planned(copied, None, [*where, f"modules={given}"] if base else where)
    assert check_unchanged(plan, read_run(copied)) == []
    assert plan.config.folder == given
    assert plan.config.run.address == "local"
    with going_on(copied) as past:
        assert [trial.number for trial in past.unfinished] == [1]
    with pytest.raises(UserError, match=r"job-files/docs"):
        planned(copied, None, [])


def test_nothing_of_documents_or_keys_is_in_the_run(run: Path) -> None:
    text = (run / RUN).read_text()
    assert "moon" not in text
    assert "tides" not in text


def test_a_second_driver_is_refused(run: Path) -> None:
    with holding(run), pytest.raises(UserError, match=r"process \d+ on .* is working on this run"):
        resume(run)
    with holding(run):
        pass  # and it is free again


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 99}, "newer raytuner"),
        ({"config": None}, "older version, cannot go on"),
        ({"format": 1}, "older version, cannot go on"),
        ({"data": None}, r"run\.json lacks data, or it is damaged there; restore the file"),
        ({"data": {"documents": {}}}, r"run\.json lacks data"),
        ({"base": None, "name": None}, r"run\.json lacks name, base"),
        ({"config": "rag.yaml"}, r"run\.json (lacks|is damaged in) config"),
        ({"trials": "many"}, r"run\.json is damaged in trials"),
    ],
)
def test_runs_that_cannot_go_on(run: Path, change: dict[str, Any], said: str) -> None:
    known = {name: value for name, value in {**read_run(run), **change}.items() if value is not None}
    write_json(run / RUN, known)
    with pytest.raises(DataError, match=said):
        resume(run)


def test_more_of_a_whole_grid(run: Path) -> None:
    write_json(run / RUN, {**read_run(run), "trials": None})
    with pytest.raises(ConfigError, match="no more configurations"):
        resume(run, trials=3)


def test_documents_that_are_elsewhere_are_said(run: Path, given: Path) -> None:
    (given / "docs").rename(given / "moved")
    found = CliRunner().invoke(cli, ["resume", str(run), "-q"])
    assert isinstance(found.exception, UserError)
    assert str(given / "docs") in str(found.exception)


def test_no_such_run(tmp_path: Path) -> None:
    found = CliRunner().invoke(cli, ["resume", "nothing", "--folder", str(tmp_path)])
    assert "nothing: no such run" in str(found.exception)
