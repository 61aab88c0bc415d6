"""Schedulers on a real local Ray."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raytuner import RayTuneParamTuner
from raytuner.goals import Goal
from raytuner.report import as_json, as_text
from raytuner.run_folder import read_run
from raytuner.saved_run import load_study, result_of
from raytuner.schedulers import make_rule
from raytuner.schedulers.batch import Batch
from raytuner.search import make_searcher
from raytuner.space import SearchSpace
from raytuner.values import FailedQuestion, Values

pytestmark = [pytest.mark.ray, pytest.mark.timeout(240), pytest.mark.usefixtures("local_ray")]

SPACE = {"a": list(range(6)), "b": list(range(5))}
QUESTIONS = 80


def table(params: dict[str, Any]) -> list[float]:
    """The scores of a configuration on all questions."""
    rng = random.Random(repr(sorted(params.items())))
    return [0.1 * params["a"] + 0.02 * params["b"] + rng.gauss(0, 0.1) for _ in range(QUESTIONS)]


def blocks(params: dict[str, Any]) -> Iterator[Values]:
    scores = table(params)
    for start in range(0, QUESTIONS, 8):
        yield {f"q{at}": {"score": scores[at]} for at in range(start, start + 8)}


def slow_blocks(params: dict[str, Any]) -> Iterator[Values]:
    for values in blocks(params):
        time.sleep(0.02)
        yield values


def tuner(storage: Path, function: Any, **options: Any) -> RayTuneParamTuner:
    return RayTuneParamTuner(param_fn=function, param_dict=SPACE, storage_path=storage, address="local", **options)


def replay(name: str, trials: int, seed: int) -> dict[int, int]:
    """On how many questions each trial is evaluated, by the same rule and search without Ray."""
    space = SearchSpace.from_dict(SPACE)
    rule = make_rule(name, [Goal(metric="score", mode="max")])
    searcher = make_searcher("random", space, "score", "max", seed, trials=trials)
    counts = {}
    while isinstance(found := searcher.suggest(str(len(counts))), dict):
        number = found["number"]
        rule.begin(number)
        for values in blocks(space.configuration(found["point"])):
            if rule.block(number, values):
                break
        else:
            rule.end(number)
        counts[number] = rule.count(number)
        searcher.on_trial_complete(str(number - 1), {"score": 0.0})
    return counts


@pytest.mark.parametrize("name", ["racing", "asha", "median", "wilcoxon"])
def test_a_run_is_what_its_replay_is(tmp_path: Path, name: str) -> None:
    result = tuner(
        tmp_path, blocks, search="random", num_samples=15, seed=3, max_concurrent_trials=1, scheduler=name
    ).tune()
    counts = {one.trial: len(one.questions) for one in (*result.run_results, *result.stopped)}
    assert counts == replay(name, 15, 3)
    assert 0 < len(result.stopped) < 15
    assert all(len(one.questions) == QUESTIONS for one in result.run_results)
    for one in result.run_results:
        assert one.score == pytest.approx(sum(table(one.params)) / QUESTIONS)
    assert all(one.reason and "behind" in one.reason for one in result.stopped)


def test_what_was_stopped_is_in_the_log_and_shown(tmp_path: Path) -> None:
    result = tuner(tmp_path, slow_blocks, search="random", num_samples=20, scheduler="racing").tune()
    assert result.stopped
    assert result.trials == 20
    assert result.best_run_result.score == max(one.score for one in result.run_results)
    folder = Path(result.run or "")
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    logged = {row["trial"]: row for row in rows if row["kind"] == "trial"}
    stopped = result.stopped[0]
    row = logged[stopped.trial]
    assert (row["score"], row["stopped"], row["told"]) == (None, stopped.reason, stopped.told)
    assert row["metrics"]["score"] == stopped.score
    again = result_of(load_study(folder), read_run(folder))
    without_time = {"exclude": {"seconds"}}
    assert [one.model_dump(**without_time) for one in again.stopped] == [
        one.model_dump(**without_time) for one in result.stopped
    ]
    assert as_json(again)["stopped"] == len(result.stopped)
    assert f"trials: 20, stopped early: {len(result.stopped)}, failed: 0" in as_text(again, "score", "max")
    assert json.loads((folder / "run.json").read_text())["scheduler"] == "racing"


def test_a_function_without_blocks_runs_on_and_it_is_said(tmp_path: Path) -> None:
    result = tuner(tmp_path, lambda params: float(params["a"]), num_samples=6, scheduler="racing").tune()
    assert (len(result.run_results), result.stopped) == (6, [])
    assert "racing needs blocks of questions, which the objective does not yield: all trials ran on" in result.notes


def test_failing_trials_do_not_stop_others(tmp_path: Path) -> None:
    def failing(params: dict[str, Any]) -> Iterator[Values]:
        for number, values in enumerate(blocks(params)):
            if params["a"] == 5 and number == 3:
                raise ValueError("no more")
            yield values

    result = tuner(tmp_path, failing, max_concurrent_trials=1, scheduler="racing").tune()
    assert result.trials == 30
    assert {one.params["a"] for one in result.failed} == {5}
    assert result.best_run_result.params["a"] == 4


def test_what_ray_itself_stops_is_said(tmp_path: Path) -> None:
    result = tuner(tmp_path, slow_blocks, num_samples=4, run_config_dict={"stop": {"score": 0.05}}).tune()
    assert [one.reason for one in result.stopped] == ["stopped by Ray Tune, as run_config_dict says"] * len(
        result.stopped
    )
    assert result.trials == 4


class Table:
    """An objective whose blocks can be had from some block on."""

    total = QUESTIONS
    block_size = 8
    metric = "score"

    def blocks(self, params: dict[str, Any], start: int = 0) -> Iterator[Values]:
        for number, values in enumerate(blocks(params)):
            if number >= start:
                if params.get("b") == 4 and params["a"] == 5 and number == 5:
                    raise ValueError("no more")
                yield values

    def __call__(self, params: dict[str, Any]) -> float:
        return sum(table(params)) / QUESTIONS


@pytest.mark.parametrize(("scheduler", "workers"), [("racing", 1), ("racing", None), ("halving", None)])
def test_all_at_once(tmp_path: Path, scheduler: str, workers: int | None) -> None:
    """The best of the grid fails half-way; each block is evaluated once, the same ones at any concurrency."""
    result = tuner(tmp_path, Table(), max_concurrent_trials=workers, scheduler=scheduler).tune()
    assert result.trials == 30
    assert [one.params for one in result.failed] == [{"a": 5, "b": 4}]
    assert result.best_run_result.params["a"] == 5
    assert result.best_run_result.score == pytest.approx(Table()(result.best_run_result.params))
    rows = [json.loads(line) for line in Path(result.run or "", "log.jsonl").read_text().splitlines()]
    evaluated = [(row["trial"], row["block"]) for row in rows if row["kind"] == "block"]
    assert len(set(evaluated)) == len(evaluated) < 0.5 * 30 * QUESTIONS / 8
    rule = make_rule(scheduler, [Goal(metric="score", mode="max")], QUESTIONS, at_once=True)
    assert isinstance(rule, Batch)
    assert sorted(evaluated) == sorted(replay_at_once(rule))


def replay_at_once(rule: Batch) -> Iterator[tuple[int, int]]:
    """Which blocks of which trials are evaluated, without Ray."""
    space = SearchSpace.from_dict(SPACE)
    configurations = {number: space.configuration(raw) for number, raw in enumerate(space.points(), 1)}
    for number in configurations:
        rule.begin(number)
    while rule.running:
        for number in sorted(rule.running):
            block = rule.count(number) // 8
            try:
                values = next(Table().blocks(configurations[number], block))
            except ValueError:
                rule.end(number, failed=True)
                continue
            yield number, block
            rule.block(number, values)
            if rule.count(number) == QUESTIONS:
                rule.end(number)
        if rule.running and rule.is_look(rule.count(min(rule.running))):
            rule.drop()
        rule.revive()


def test_with_a_time_budget_they_come_one_by_one(tmp_path: Path) -> None:
    result = tuner(tmp_path, Table(), time_budget_s=100.0, max_concurrent_trials=1, scheduler="racing").tune()
    assert result.default is None
    assert len(result.run_results[0].questions) == QUESTIONS
    assert result.trials == 30
    log = Path(result.run or "", "log.jsonl").read_text().splitlines()
    first = [row["trial"] for row in map(json.loads, log) if row["kind"] == "block"][: QUESTIONS // 8]
    assert set(first) == {1}, "the first one ran to its end before the next one began"


class Split(Table):
    """An objective that holds out its last questions."""

    total = 56
    holdout = 24

    @property
    def question_documents(self) -> dict[str, str]:
        return {f"q{at}": f"d{at % 4}" for at in range(QUESTIONS)}

    def blocks(self, params: dict[str, Any], start: int = 0) -> Iterator[Values]:
        end = self.total // 8 if start < self.total // 8 else QUESTIONS // 8
        yield from list(blocks(params))[start:end]


@pytest.mark.parametrize("search", ["grid", "random"])
@pytest.mark.parametrize("scheduler", ["racing", "fifo"])
def test_leaders_are_confirmed_on_held_out_questions(tmp_path: Path, search: str, scheduler: str) -> None:
    result = tuner(tmp_path, Split(), search=search, num_samples=12, scheduler=scheduler).tune()
    assert result.trials == 12
    found = result.confirmation
    assert found is not None
    assert (found.questions, found.documents) == (24, 4)
    rows = [json.loads(line) for line in Path(result.run or "", "log.jsonl").read_text().splitlines()]
    searched = {question for row in rows if row["kind"] == "block" for question in row["questions"]}
    held_out = {question for row in rows if row["kind"] == "held_out" for question in row["questions"]}
    assert searched == {f"q{at}" for at in range(56)}
    assert held_out == {f"q{at}" for at in range(56, 80)}
    for one in found.results:
        params = next(run.params for run in result.run_results if run.trial == one.trial)
        assert one.score == pytest.approx(sum(table(params)[56:]) / 24)
    assert result.best.trial == found.ties[0]
    again = result_of(load_study(Path(result.run or "")), read_run(Path(result.run or "")))
    assert again.confirmation == found
    assert again.documents == Split().question_documents
    assert again.robustness == result.robustness
    assert as_text(again, "score", "max") == as_text(result, "score", "max")


def test_questions_that_fail_are_left_out_and_spoken_of(tmp_path: Path) -> None:
    """One fails in every trial, the others in one block of some; and one of those that are held out."""

    class Patchy(Split):
        max_failed_questions = 0.15

        def blocks(self, params: dict[str, Any], start: int = 0) -> Iterator[Any]:
            lost = {"q3", "q60"} | ({f"q{at}" for at in range(16, 22)} if params["a"] == 5 else set())
            for values in super().blocks(params, start):
                yield {name: FailedQuestion("no answer") if name in lost else row for name, row in values.items()}

    result = tuner(tmp_path, Patchy(), scheduler="racing").tune()
    assert not result.failed
    assert result.best_run_result.params["a"] == 5
    lost = {3, *range(16, 22)}
    scores = [score for at, score in enumerate(table(result.best_run_result.params)[:56]) if at not in lost]
    assert result.best_run_result.score == pytest.approx(sum(scores) / len(scores))
    assert result.failed_questions["q3"] == (30, 30, "no answer")
    asked = [one for one in (*result.run_results, *result.stopped) if "q16" in one.questions]
    assert result.failed_questions["q16"][:2] == (sum(one.params["a"] == 5 for one in asked), len(asked))
    assert result.confirmation is not None
    assert result.confirmation.questions == 23
    assert "1 of the 24 held-out questions could not be scored for all leaders: left out" in result.notes
    folder = Path(result.run or "")
    again = result_of(load_study(folder), read_run(folder))
    assert again.failed_questions == result.failed_questions
    assert as_text(again, "score", "max") == as_text(result, "score", "max")

    Patchy.max_failed_questions = 0.1
    result = tuner(tmp_path, Patchy(), scheduler="racing").tune()
    assert {one.params["a"] for one in result.failed} == {5}
    assert "7 of 56 questions failed, 10% may" in result.failed[0].summary


def test_one_that_fails_on_held_out_questions_is_no_leader(tmp_path: Path) -> None:
    class Failing(Split):
        def blocks(self, params: dict[str, Any], start: int = 0) -> Iterator[Values]:
            if start and params["a"] == 5:
                raise ValueError("no more")
            yield from super().blocks(params, start)

    result = tuner(tmp_path, Failing(), num_samples=30).tune()
    assert result.best_run_result.params["a"] == 5
    assert result.confirmation is None
    assert any("failed on the held-out questions: ValueError: no more" in note for note in result.notes)
    assert "the winner was not confirmed on the 24 held-out questions" in result.notes
