"""The rules of Ray and Optuna do what those libraries say."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from raytuner.goals import Goal
from raytuner.schedulers import make_rule
from raytuner.schedulers.rule import Rule
from raytuner.values import Values

MAX = [Goal(metric="score", mode="max")]
MIN = [Goal(metric="score", mode="min")]
TOTAL = 80


def run(rule: Rule, number: int, mean: float, total: int = TOTAL, *, noise: float = 0.1) -> int:
    """Run a trial; on how many questions it was evaluated."""
    rng = random.Random(number)
    rule.begin(number)
    for start in range(0, total, 8):
        values: Values = {f"q{at}": {"score": mean + rng.gauss(0, noise)} for at in range(start, start + 8)}
        if rule.block(number, values) is not None:
            return rule.count(number)
    rule.end(number)
    return rule.count(number)


@pytest.mark.parametrize("name", ["asha", "median", "wilcoxon", "racing"])
@pytest.mark.parametrize(("goals", "sign"), [(MAX, 1), (MIN, -1)])
def test_bad_ones_are_stopped_and_better_ones_are_not(name: str, goals: list[Goal], sign: int) -> None:
    rule = make_rule(name, goals, TOTAL)
    for number, mean in enumerate((0.5, 0.6, 0.7, 0.8), 1):
        assert run(rule, number, sign * mean, noise=0.01) == TOTAL
    assert run(rule, 5, sign * 0.1) < TOTAL
    assert run(rule, 6, sign * 0.9, noise=0.01) == TOTAL
    assert rule.finished == {1, 2, 3, 4, 6}


def test_asha_lets_one_in_three_go_on_at_each_rung() -> None:
    """Rungs at 10 and 30 questions are looked at after the blocks that end at 16 and 32."""
    rule = make_rule("asha", MAX, TOTAL)
    counts = [run(rule, number, 1 - number / 10, noise=0) for number in range(1, 8)]
    assert counts == [TOTAL, 16, 16, 16, 16, 16, 16]
    wide = make_rule("asha", MAX, TOTAL, options={"reduction_factor": 1.5})
    assert sum(run(wide, number, random.Random(number).random(), noise=0) > 16 for number in range(1, 20)) > 8


def test_fewer_questions_than_a_rung_has() -> None:
    rule = make_rule("asha", MAX, 4)
    assert [run(rule, number, 0.5, 4) for number in (1, 2)] == [8, 8]


def test_asha_without_a_known_total() -> None:
    rule = make_rule("asha", MAX)
    assert [run(rule, number, 1 - number / 10, noise=0) for number in (1, 2, 3)] == [TOTAL, 16, 16]


def test_the_median_rule_waits_for_enough_others() -> None:
    rule = make_rule("median", MAX, TOTAL, options={"min_samples_required": 2})
    assert [run(rule, 1, 0.8), run(rule, 2, 0.2)] == [TOTAL, TOTAL]
    assert run(rule, 3, 0.1) == 16


def test_wilcoxon_never_stops_what_has_the_better_mean() -> None:
    """Slightly worse on nearly all questions, and much better on a few."""
    rule = make_rule("wilcoxon", MAX, TOTAL)
    for number, score in ((1, lambda at: 0.5), (2, lambda at: 9.0 if at % 16 == 0 else 0.4 - at / 1000)):
        rule.begin(number)
        for start in range(0, TOTAL, 8):
            assert rule.block(number, {f"q{at}": {"score": score(at)} for at in range(start, start + 8)}) is None
        rule.end(number)
    assert rule.finished == {1, 2}


@pytest.mark.parametrize("name", ["asha", "median", "wilcoxon", "racing", "fifo"])
def test_failures_kept_ones_and_gaps(name: str) -> None:
    rule = make_rule(name, MAX, TOTAL, kept=[3])
    rule.begin(1)
    rule.block(1, {"q0": {"score": math.nan}, "q1": {"score": 0.5}})
    rule.end(1, failed=True)
    rule.begin(9)
    rule.end(9, failed=True)  # before it had reported anything
    assert run(rule, 2, 0.9) == TOTAL
    assert run(rule, 3, 0.1) == TOTAL, "never stopped"
    rule.begin(4)
    for start in range(0, TOTAL, 8):
        rule.block(4, {f"q{at}": {"score": math.nan if at % 2 else 0.9} for at in range(start, start + 8)})
    rule.end(4)
    assert rule.finished == {2, 3, 4}
    assert rule.told(1) == {"score": 0.5}


@pytest.mark.parametrize("name", ["racing", "asha", "median", "wilcoxon", "fifo"])
def test_a_rule_that_went_through_the_log_decides_the_same(name: str) -> None:
    """The driver was killed in the middle of the tenth of twenty trials."""
    rows: list[dict[str, Any]] = []
    whole, again = (make_rule(name, MAX, TOTAL, kept=[1]) for _ in range(2))

    def go_on(rule: Rule, number: int, start: int = 0, end: int = TOTAL) -> str | None:
        rng = random.Random(number)
        scores = [0.03 * number % 0.5 + rng.gauss(0, 0.1) for _ in range(TOTAL)]
        for at in range(start, end, 8):
            values = {f"q{place}": {"score": scores[place]} for place in range(at, at + 8)}
            reason = rule.block(number, values)
            rows.append({"kind": "block", "trial": number, "values": values})
            if reason is not None:
                rows.append({"kind": "trial", "trial": number, "error": None, "stopped": reason})
                return reason
        if end == TOTAL:
            rule.end(number)
            rows.append({"kind": "trial", "trial": number, "error": None, "stopped": None})
        return None

    for number in range(1, 10):
        whole.begin(number)
        go_on(whole, number)
    whole.begin(10)
    go_on(whole, 10, end=8)
    again.restore(list(rows))
    assert (again.running, again.finished) == (whole.running, whole.finished)
    for rule in (whole, again):
        rows.clear()
        assert rule.running == {10}
    ends = []
    for rule in (whole, again):
        ends.append([go_on(rule, 10, start=8)])
        for number in range(11, 21):
            rule.begin(number)
            ends[-1].append(go_on(rule, number))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("name", ["median", "asha"])
def test_a_first_question_that_fails_everywhere_decides_nothing(name: str) -> None:
    """Ray's rule keeps the best value of a trial: no number would stay the best for good."""
    rule = make_rule(name, MAX, 80)
    for number in range(1, 11):
        rule.begin(number)
        score = {5: 1.0}.get(number, 0.1 * number)
        stopped = None
        for at in range(80):
            values = {f"q{at}": {} if at == 0 else {"score": score}}
            if (stopped := rule.block(number, values)) is not None:
                break
        else:
            rule.end(number)
        if number == 5:
            assert stopped is None, stopped
