"""What a log says for a search that goes on, and that it then does what it would have done."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raytuner.goals import Goal
from raytuner.leaders import Leaders
from raytuner.objective import Block, Objective, Report
from raytuner.past import Past, PastTrial, id_of, read_past
from raytuner.run_folder import LOG
from raytuner.schedulers.batch import BatchRace
from raytuner.schedulers.rounds import RoundSearcher
from raytuner.schedulers.unfinished import Losses, UnfinishedSearcher
from raytuner.search import make_searcher
from raytuner.search.options import SearchOptions
from raytuner.space import SearchSpace
from raytuner.study import Study
from raytuner.take_up import begun, changes, find_points, left_of, take_up, would_suggest
from raytuner.values import FailedQuestion

SPACE = SearchSpace.from_dict({"a": list(range(12))})
GOALS = [Goal.model_validate({"metric": "score", "mode": "max"})]
SIZE, BLOCKS = 4, 12


def values(number: int, block: int) -> dict[str, dict[str, float]]:
    rng = random.Random(f"{number} {block}")
    level = 0.02 * ((7 * number) % 12)
    found = {f"q{block}-{at}": {"score": level + rng.gauss(0, 0.05)} for at in range(SIZE)}
    return {**found, "failed": FailedQuestion("why not")} if number == 3 and block == 1 else found


class Driver:
    """The rounds of a search without Ray: stretches of several trials at once, block by block, in some order."""

    def __init__(self, rows: list[dict[str, Any]], past: dict[int, PastTrial], order: int) -> None:
        self.rows = rows
        self.again: list[tuple[int, int]] = []
        self._rng = random.Random(order)
        self._rule = BatchRace(GOALS, SIZE * BLOCKS)
        self._ended = {number for number, trial in past.items() if trial.end is not None}
        self._known = {(number, block) for number, trial in past.items() for block in range(len(trial.blocks))}
        inner = make_searcher("grid", SPACE, "score", "max")
        self._searcher = RoundSearcher(inner, self._rule, SIZE, self._drop, past)

    def _drop(self, number: int, why: str) -> None:
        if number not in self._ended:
            self._log(kind="trial", trial=number, error=None, stopped=why)

    def _log(self, **row: Any) -> None:
        self.rows.append(row)

    def run(self, until: int | None = None) -> None:
        """Run to the end, or until the log has so many rows."""
        running: dict[str, dict[str, Any]] = {}
        asked, ended = 0, False
        while running or not ended:
            while len(running) < 3 and not ended:
                found = self._searcher.suggest(str(asked))
                ended = isinstance(found, str)
                if not isinstance(found, dict):
                    break
                running[str(asked)] = dict(found)
                self._rule.begin(found["number"])
                asked += 1
            if until is not None and len(self.rows) >= until:
                return
            if running:
                self._go_on(running, self._rng.choice(sorted(running)))

    def _go_on(self, running: dict[str, dict[str, Any]], name: str) -> None:
        stretch = running[name]
        number, block = stretch["number"], stretch["start"]
        if (number, block) in self._known:
            self.again.append((number, block))
        self._rule.block(number, values(number, block))
        self._log(kind="block", trial=number, block=block, values=values(number, block))
        stretch["start"] += 1
        if stretch["start"] == (stretch["until"] or BLOCKS):
            if stretch["until"] is None:
                self._rule.end(number)
                self._log(kind="trial", trial=number, error=None, stopped=None)
            del running[name]
            self._searcher.on_trial_complete(name)


def past_of(rows: list[dict[str, Any]]) -> dict[int, PastTrial]:
    trials: dict[int, PastTrial] = {}
    for row in rows:
        trial = trials.setdefault(row["trial"], PastTrial(row["trial"], {}, {"a": row["trial"] - 1}))
        if row["kind"] == "block":
            trial.blocks.append(row["values"])
        else:
            trial.end = row
    return trials


def outcome(rows: list[dict[str, Any]]) -> Any:
    ends = {row["trial"]: row["stopped"] for row in rows if row["kind"] == "trial"}
    return ends, sorted((row["trial"], row["block"]) for row in rows if row["kind"] == "block")


@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), min_size=1, max_size=4), order=st.integers(0, 1000))
def test_rounds_that_were_cut_off_end_as_if_they_had_not_been(cuts: list[int], order: int) -> None:
    whole: list[dict[str, Any]] = []
    Driver(whole, {}, 0).run()
    rows: list[dict[str, Any]] = []
    for at, cut in enumerate(cuts):
        driver = Driver(rows, past_of(rows), order + at)
        driver.run(until=len(rows) + cut)
        assert driver.again == []
    last = Driver(rows, past_of(rows), order - 1)
    last.run()
    assert last.again == []
    assert outcome(rows) == outcome(whole)


def report(index: int, **scores: float) -> Report:
    mean = sum(scores.values()) / len(scores)
    return Report({"score": mean}, Block(index, {name: {"score": score} for name, score in scores.items()}, 0.1))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    study = Study("score", "max", tmp_path)
    study.start(1, {"a": 1}, {"a": "1"})
    study.report(1, report(0, q1=0.5, q2=0.7))
    study.start(2, {"a": 2}, {"a": "2"})
    study.finish(1, 2.0)
    study.report(2, report(0, q1=0.1, q2=0.3))
    study.report_held_out(1, Block(1, {"h1": {"score": 1.0}}, 0.1))
    study.start(3, {"a": 3}, {"a": "3"})
    study.start(4, {"a": 4}, {"a": "4"})
    study.finish(4, 1.0, "Traceback\nValueError: bad")
    study.close()
    return tmp_path


def test_the_events_are_in_the_order_of_the_log(folder: Path) -> None:
    past = read_past(folder)
    assert [trial.number for trial in past.unfinished] == [2, 3]
    assert past.last == 4
    assert list(past.events(4)) == [
        (id_of(1), "began", {"a": "1"}),
        (id_of(1), "partial", (0.5, {"score": 0.6})),
        (id_of(2), "began", {"a": "2"}),
        (id_of(1), "ended", {"score": 0.6}),
        (id_of(2), "partial", (0.5, {"score": 0.2})),
        (id_of(3), "began", {"a": "3"}),
        (id_of(4), "began", {"a": "4"}),
        (id_of(4), "ended", None),
    ]


def test_a_study_takes_up_what_is_known_and_goes_on_with_the_rest(folder: Path) -> None:
    study = Study("score", "max", folder)
    past = read_past(folder)
    take_up(study, past, total=4)
    assert [trial.number for trial in study.scored] == [1]
    assert study.trials[1].held_out == {"h1": {"score": 1.0}}
    assert [trial.number for trial in study.failed] == [4]
    assert study.running == []
    objective = Objective(Asked())
    left = left_of(study, objective)
    handed = begun(past)[id_of(2)]
    assert left(handed) == {"number": 2, "point": {"a": "2"}, "start": 1, "failed": 0}
    assert left({"number": 1, "point": {}, "start": 1, "held_out": True})["start"] == 2
    assert left({"number": 9, "point": {}}) == {"number": 9, "point": {}}
    assert left_of(study, Objective(lambda params: 1.0))(handed) == {"number": 2, "point": {"a": "2"}}
    study.resume(2)
    study.report(2, report(1, q3=0.5, q4=0.3))
    assert study.trials[2].metrics == {"score": pytest.approx(0.3)}, "of all four questions"


class Asked:
    """Blocks from anywhere."""

    total = 4

    def blocks(self, params: dict[str, Any], start: int = 0) -> Any:
        yield {f"q{start}": {"score": 1.0}}


class HeldOut(Asked):
    """And with held-out questions: the blocks from 1 on."""

    total, holdout, block_size, metric = 2, 6, 2, "score"


def test_held_out_blocks_that_are_in_the_log_are_not_answered_again(folder: Path) -> None:
    study = Study("score", "max", folder)
    past = read_past(folder)
    objective = Objective(HeldOut())
    inner = make_searcher("grid", SearchSpace.from_dict({"a": ["1", "2", "3", "4"]}), "score", "max")
    inner.take_up(past.events(2), past.last)
    take_up(study, past, 2)
    study.finish(3, 0.0, "lost")
    known = {name: {**one, "unfinished": False} for name, one in begun(past).items()}
    leaders = Leaders(study, objective, SearchOptions(algorithm="grid"), None).after(inner, known)
    found = UnfinishedSearcher(leaders, Losses(), left_of(study, objective)).suggest("t")
    assert (found["number"], found["held_out"], found["start"]) == (1, True, 2), "block 1 is there"


def test_a_trial_whose_end_was_not_logged_ends(folder: Path) -> None:
    study = Study("score", "max", folder)
    past = read_past(folder)
    take_up(study, past, total=2)
    assert [trial.number for trial in study.scored] == [1, 2]
    assert [trial.number for trial in past.unfinished] == [3]
    assert [row["trial"] for row in read_past(folder).rows if row["kind"] == "trial"] == [1, 4, 2]


def test_a_damaged_line_costs_what_it_held(folder: Path) -> None:
    log = folder / LOG
    lines = log.read_text().splitlines()
    assert '"kind": "start"' in lines[2]
    log.write_text("\n".join([*lines[:2], "damaged", *lines[3:]]) + "\n")
    past = read_past(folder)
    assert past.notes == ["log.jsonl: line 3 is damaged and left out"]
    assert sorted(past.trials) == [1, 3, 4], "of trial 2 it is not known any more what it is"
    assert past.last == 4
    lines[1] = '{"kind": "block"'
    log.write_text("\n".join(lines) + "\n")
    assert read_past(folder).trials[1].blocks == []


def damage(folder: Path, *starts: str) -> None:
    """Damage the lines of a log that begin so."""
    lines = (folder / LOG).read_text().splitlines()
    assert {start for start in starts if any(line.startswith(start) for line in lines)} == set(starts)
    damaged = ["damaged" if line.startswith(starts) else line for line in lines]
    (folder / LOG).write_text("\n".join(damaged) + "\n")


def test_a_trial_whose_start_is_damaged_is_known_by_its_end(folder: Path) -> None:
    damage(folder, '{"kind": "start", "trial": 1', '{"kind": "start", "trial": 4')
    past = read_past(folder)
    first = past.trials[1]
    assert (first.params, first.point, first.end is not None) == ({"a": 1}, None, True)
    assert first.blocks == [{"q1": {"score": 0.5}, "q2": {"score": 0.7}}]
    assert first.held_out == [{"h1": {"score": 1.0}}]
    assert past.trials[4].is_failed
    assert past.last == 4
    assert (id_of(1), "began", None) not in list(past.events(4))
    assert sorted(begun(past)) == [id_of(2), id_of(3)], "none is begun without its point"
    study = Study("score", "max", folder)
    take_up(study, past, total=4)
    assert [trial.number for trial in study.scored] == [1]
    find_points(past, SPACE)
    assert SPACE.configuration(first.point or {}) == {"a": 1}
    assert (id_of(1), "began", first.point) in list(past.events(4)), "so that it is not suggested again"
    first.point, first.params = None, {"a": "no longer of the space"}
    find_points(past, SPACE)
    assert first.point is None


def test_no_number_is_given_twice(folder: Path) -> None:
    study = Study("score", "max", folder)
    study.start(5, {"a": 5}, {"a": "5"})
    study.report(5, report(0, q1=0.5))
    study.close()
    damage(folder, '{"kind": "start", "trial": 5')
    past = read_past(folder)
    assert 5 not in past.trials
    assert past.last == 5


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [("grid", "grid", True), ("random", "random", True), ("random", "grid", False), ("grid", "sobol", False)],
)
def test_all_go_on_at_once_only_if_each_number_is_the_same_configuration(before: str, now: str, expected: bool) -> None:
    """The blocks of one configuration are not those of another that has its number in another search."""
    earlier = make_searcher(before, SPACE, "score", "max", trials=6)
    points = [earlier.suggest(str(number))["point"] for number in range(1, 7)]
    trials = {at: PastTrial(at, dict(point), point) for at, point in enumerate(points, start=1) if at != 3}
    past = Past(Path(), [], trials, [])
    assert would_suggest(past, SPACE, lambda: make_searcher(now, SPACE, "score", "max", trials=9)) is expected
    assert not would_suggest(past, SPACE, lambda: make_searcher(now, SPACE, "score", "max", trials=5))
    assert would_suggest(Past(Path(), [], {}, []), SPACE, lambda: pytest.fail("there is nothing to compare"))


def test_what_came_before_a_later_start_of_a_number_is_of_another_trial(folder: Path) -> None:
    study = Study("score", "max", folder)
    study.start(1, {"a": 7}, {"a": "7"})
    study.report(1, report(0, q1=0.25, q2=0.25))
    study.close()
    past = read_past(folder)
    assert past.trials[1] == PastTrial(1, {"a": 7}, {"a": "7"}, [report(0, q1=0.25, q2=0.25).block.values])  # type: ignore[union-attr]
    assert [event[2] for event in past.events(4) if event[:2] == (id_of(1), "partial")] == [(0.5, {"score": 0.25})]
    assert [event for event in past.events(4) if event[:2] == (id_of(1), "ended")] == []


def test_a_block_that_is_done_again_counts_once(folder: Path) -> None:
    study = Study("score", "max", folder)
    study.start(5, {"a": 5}, {"a": "5"})
    for at in range(3):
        study.report(5, report(at, **{f"q{at}": 0.5}))
    damage(folder, '{"kind": "block", "trial": 5, "block": 1')
    past = read_past(folder)
    assert len(past.trials[5].blocks) == 1
    assert shares(past, 5) == [0.25], "that after the gap is done again"
    study.resume(5)
    for at in (1, 2, 3):
        study.report(5, report(at, **{f"q{at}": 0.5}))
    study.close()
    assert shares(read_past(folder), 5) == [0.25, 0.5, 0.75, 1.0]
    assert len(read_past(folder).trials[5].blocks) == 4


def shares(past: Any, number: int) -> list[float]:
    return [what[0] for name, happened, what in past.events(4) if (name, happened) == (id_of(number), "partial")]


def test_a_damaged_block_of_a_trial_that_has_ended_costs_that_block_alone(folder: Path) -> None:
    study = Study("score", "max", folder)
    study.start(5, {"a": 5}, {"a": "5"})
    for at in range(3):
        study.report(5, report(at, **{f"q{at}": 0.5}))
    study.finish(5, 1.0)
    study.close()
    damage(folder, '{"kind": "block", "trial": 5, "block": 1')
    assert [list(values) for values in read_past(folder).trials[5].blocks] == [["q0"], ["q2"]]


def test_held_out_blocks_follow_the_first_of_all(folder: Path) -> None:
    study = Study("score", "max", folder)
    take_up(study, read_past(folder), total=4)
    for at in (1, 2, 3):
        study.report_held_out(4, Block(at, {f"h{at}": {"score": 1.0}}, 0.1))
    study.close()
    damage(folder, '{"kind": "held_out", "trial": 4, "block": 1')
    assert read_past(folder).trials[4].held_out == []
    assert len(read_past(folder).trials[1].held_out) == 1


def test_the_difference_between_configs() -> None:
    before = {"space": {"a": [1, 2]}, "pipeline": {"llm": "x"}, "run": {"name": "r"}}
    now = {"space": {"a": [1, 3]}, "pipeline": {"llm": "x", "top_k": 3}, "run": {"name": "r"}}
    assert changes(before, now) == ["space.a: [1, 2] -> [1, 3]", "pipeline.top_k: null -> 3"]
