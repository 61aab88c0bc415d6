"""Two configurations compared question by question."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner
from made_runs import make_run, write_config, write_data

from raytuner.cli import cli
from raytuner.compare_runs import Comparison, compare
from raytuner.errors import DataError
from raytuner.goals import Goal
from raytuner.run_folder import LOG, RUN, read_run, write_json
from raytuner.scored_run import Scored, scored
from raytuner.stats import mean_interval


def of(values: list[float], *, held_out: list[float] | None = None, metric: str = "hit", mode: str = "max") -> Scored:
    rows = {f"q{at:02}": {metric: value, "chunk_tokens": 10.0 * at} for at, value in enumerate(values)}
    others = {f"h{at}": {metric: value} for at, value in enumerate(held_out or [])}
    goal = Goal.model_validate({"metric": metric, "mode": mode})
    return Scored("a-run", 1, {"top_k": 1}, goal, rows, others, {}, {}, {})


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_data(folder)
    config = write_config(folder)
    make_run(config, [{"chunk_size": 16, "top_k": 1}, {"chunk_size": 32, "top_k": 3}], name="one")
    make_run(config, [{"chunk_size": 16, "top_k": 1}, {"chunk_size": 64, "top_k": 2}], name="two")
    return folder


def call(folder: Path, *arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, [*arguments, "--folder", str(folder / "runs")])
    return (2 if isinstance(done.exception, DataError) else done.exit_code), str(done.exception or "") + done.output


def test_the_difference_is_that_of_pairs_with_the_interval_of_the_project() -> None:
    before, after = [0.0, 1.0, 0.5, 0.25] * 10, [0.5, 1.0, 0.5, 0.5] * 10
    found = compare(of(before), of(after)).searched
    assert found is not None
    better = [y - x for x, y in zip(before, after, strict=True)]
    interval = mean_interval(better)
    assert found.difference.mean == pytest.approx(math.fsum(better) / 40)
    assert (found.difference.low, found.difference.high) == interval
    assert found.verdict == "better"
    assert found.metrics["hit"].before == pytest.approx(sum(before) / 40)


def test_of_a_metric_to_be_minimised_less_is_better() -> None:
    found = compare(of([3.0, 4.0] * 12, mode="min"), of([1.0, 3.0] * 12, mode="min"))
    assert found.deciding.difference.mean == pytest.approx(1.5)
    assert found.deciding.verdict == "better"
    assert compare(of([1.0, 3.0] * 12, mode="min"), of([3.0, 4.0] * 12, mode="min")).deciding.verdict == "worse"


def test_equal_ones_are_equal_and_noise_is_open() -> None:
    same = compare(of([1.0, 0.0] * 10), of([1.0, 0.0] * 10))
    assert same.deciding.verdict == "open"
    assert "equal on each question" in str(same)
    noise = compare(of([1.0, 0.0] * 10), of([0.0, 1.0] * 10))
    assert noise.deciding.verdict == "open"
    assert "may be chance" in str(noise)


def test_documents_are_groups() -> None:
    groups = {f"q{at:02}": f"d{at // 4}" for at in range(48)}
    before = of([0.0] * 48)._replace(documents=groups)
    after = of([float(at // 4 % 3 == 0) for at in range(48)])._replace(documents=groups)
    found = compare(before, after).deciding
    assert found.documents == 12
    alone = compare(of([0.0] * 48), of([float(at // 4 % 3 == 0) for at in range(48)])).deciding
    assert found.difference.low < alone.difference.low


def test_held_out_questions_are_compared_by_themselves_and_decide() -> None:
    found = compare(of([0.0] * 20, held_out=[1.0] * 20), of([1.0] * 20, held_out=[0.0] * 20))
    assert found.searched is not None and found.searched.verdict == "better"
    assert found.held_out is not None and found.held_out.verdict == "worse"
    assert found.deciding is found.held_out
    assert compare(of([0.0] * 20), of([1.0] * 20, held_out=[1.0] * 5)).held_out is None


def test_partly_equal_questions_are_compared_on_the_common_ones_and_it_is_said() -> None:
    found = compare(of([1.0] * 30), of([1.0] * 22))
    assert found.deciding.questions == 22
    assert (found.only_before, found.only_after) == (8, 0)
    assert "8 of the 30 questions of a-run are left out" in str(found)


def test_a_question_with_another_text_is_another_one() -> None:
    before = of([1.0] * 24)._replace(asked={f"q{at:02}": "x" for at in range(24)})
    after = of([1.0] * 24)._replace(asked={f"q{at:02}": "x" if at else "y" for at in range(24)})
    found = compare(before, after)
    assert (found.deciding.questions, found.reworded) == (23, 1)


def test_questions_that_failed_are_left_out_and_counted() -> None:
    after = of([1.0] * 24)
    found = compare(of([1.0] * 24), after._replace(questions={**after.questions, "q03": {}}))
    assert found.deciding.questions == 23
    assert "1 questions could not be scored" in str(found)


def test_what_cannot_be_compared_is_refused_with_the_counts() -> None:
    other = of([1.0] * 20)
    renamed = other._replace(questions={f"x{name}": row for name, row in other.questions.items()})
    with pytest.raises(DataError, match="0 of the 20 questions of a-run and the 20 of a-run are the same"):
        compare(of([1.0] * 20), renamed)
    with pytest.raises(DataError, match="--metric"):
        compare(of([1.0] * 20), of([1.0] * 20, metric="ndcg"))
    with pytest.raises(DataError, match="not both have it"):
        compare(of([1.0] * 20), of([1.0] * 20), "ndcg")
    assert compare(of([1.0] * 20), of([1.0] * 20, metric="ndcg"), "chunk_tokens").mode == "min"


def test_it_is_what_it_was_after_json() -> None:
    found = compare(of([0.0] * 20), of([1.0] * 20))
    assert Comparison.model_validate(json.loads(found.model_dump_json())) == found


def test_two_runs_are_compared_by_their_winners(runs: Path) -> None:
    code, out = call(runs, "compare", "one", "two", "--json")
    assert code == 0, out
    found = json.loads(out)
    assert (found["before"]["run"], found["after"]["run"]) == ("one-20260101-000000", "two-20260101-000000")
    assert found["searched"]["questions"] == 24
    assert found["searched"]["documents"] == 12
    one, two = (scored(runs / "runs" / f"{name}-20260101-000000") for name in ("one", "two"))
    mean = [math.fsum(row["span_f4"] for row in own.questions.values()) / 24 for own in (one, two)]
    assert found["searched"]["difference"]["mean"] == pytest.approx(mean[1] - mean[0])


def test_trials_of_one_run_are_compared(runs: Path) -> None:
    code, out = call(runs, "compare", "one", "one", "--trial1", "1", "--trial2", "2")
    assert code == 0, out
    assert "chunk_size: 16 -> 32" in out
    assert call(runs, "compare", "one", "one", "--trial1", "7")[0] == 2


@pytest.mark.parametrize("damage", ["no log", "no run", "newer", "no trial", "held out", "other types"])
def test_a_run_that_cannot_be_read_is_refused_in_a_line(runs: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "runs" / "bad-20260101-000000"
    folder.mkdir(parents=True)
    good = runs / "runs" / "one-20260101-000000"
    log, run = (good / LOG).read_text(), read_run(good)
    (folder / LOG).write_text("" if damage == "no trial" else log)
    if damage == "no log":
        (folder / LOG).unlink()
    if damage == "held out":
        (folder / "held_out.json").write_text('{"questions": 3, "documents": null, "results": [], "ties": [9]}')
    run |= {"newer": {"format": 99}, "other types": {"data": [], "config": 3}}.get(damage, {})
    if damage != "no run":
        write_json(folder / RUN, run)
    code, out = call(tmp_path, "compare", str(folder), str(good))
    assert code == 2, out
    assert "bad-2026" in out
    assert len(out.splitlines()) == 1


def test_a_run_that_has_not_ended_says_so(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "on-20260101-000000"
    folder.mkdir(parents=True)
    good = runs / "runs" / "one-20260101-000000"
    (folder / LOG).write_text((good / LOG).read_text())
    write_json(folder / RUN, {name: value for name, value in read_run(good).items() if name != "interrupted"})
    code, out = call(runs, "compare", str(folder), str(good))
    assert code == 0
    assert "has not ended" in out
