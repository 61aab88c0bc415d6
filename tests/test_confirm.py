"""What held-out questions say of leaders, on made-up scores."""

from __future__ import annotations

import random

import pytest

from raytuner.confirm import Confirmation, Values, confirm
from raytuner.goals import Goal
from raytuner.held_out import as_json, lines
from raytuner.report import as_text
from raytuner.results import RunResult, TunedResult

MAX = Goal(metric="score", mode="max")


def scores(mean: float, seed: int, tokens: float = 100.0, count: int = 100) -> Values:
    rng = random.Random(seed)
    return {f"q{at}": {"score": mean + rng.gauss(0, 0.1), "chunk_tokens": tokens} for at in range(count)}


def confirmed(values: dict[int, Values], chosen: list[int], default: int | None = 1, **options: object) -> Confirmation:
    goal = options.get("goal", MAX)
    assert isinstance(goal, Goal)
    found = confirm(
        goal,
        values,
        chosen=chosen,
        default=default,
        documents={f"q{at}": f"d{at % 20}" for at in range(100)},
    )
    assert found is not None
    return found


def test_a_clear_winner() -> None:
    found = confirmed({1: scores(0.3, 1), 2: scores(0.6, 2), 3: scores(0.5, 3)}, [2, 3])
    assert found.ties == [2]
    assert [result.trial for result in found.results] == [2, 3, 1]
    best = found.of(2)
    assert best is not None
    assert best.versus_default is not None
    assert best.versus_default.low < 0.3 < best.versus_default.high
    assert best.versus_default.is_sure
    assert best.behind is None
    third = found.of(3)
    assert third is not None
    assert third.behind is not None
    assert third.behind.mean == pytest.approx(0.1, abs=0.05)
    assert third.behind.is_sure
    assert (found.questions, found.documents) == (100, 20)


def test_less_is_better_for_min() -> None:
    found = confirmed({1: scores(0.6, 1), 2: scores(0.3, 2)}, [2], goal=Goal(metric="score", mode="min"))
    best = found.of(2)
    assert best is not None
    assert best.versus_default is not None
    assert best.versus_default.mean == pytest.approx(0.3, abs=0.05)
    assert best.score == pytest.approx(0.3, abs=0.05)


def test_ties_are_in_the_order_of_their_cost() -> None:
    near = {2: scores(0.6, 2, 300), 3: scores(0.61, 3, 100), 4: scores(0.6, 4, 200), 5: scores(0.4, 5, 50)}
    found = confirmed({1: scores(0.3, 1), **near}, [2, 3, 4, 5])
    assert found.ties == [3, 4, 2]


def test_the_default_may_win() -> None:
    found = confirmed({1: scores(0.6, 1), 2: scores(0.4, 2)}, [1, 2])
    assert found.ties == [1]
    default, other = found.of(1), found.of(2)
    assert default is not None and default.versus_default is None
    assert other is not None and other.versus_default is not None
    assert not other.versus_default.is_sure
    assert other.versus_default.mean < 0


def test_p_values_are_corrected_for_the_number_of_leaders() -> None:
    one = confirmed({1: scores(0.5, 1), 2: scores(0.52, 2)}, [2]).of(2)
    worse = {number: scores(0.4, number) for number in (3, 4, 5)}
    many = confirmed({1: scores(0.5, 1), 2: scores(0.52, 2), **worse}, [2, 3, 4, 5]).of(2)
    assert one is not None and one.versus_default is not None
    assert many is not None and many.versus_default is not None
    assert many.versus_default.p == pytest.approx(min(1, 4 * one.versus_default.p))


def test_nothing_to_confirm() -> None:
    assert confirm(MAX, {}, chosen=[], default=1, documents={}) is None
    assert confirm(MAX, {1: scores(0.5, 1)}, chosen=[], default=1, documents={}) is None
    alone = confirm(MAX, {2: scores(0.5, 1)}, chosen=[2], default=None, documents={})
    assert alone is not None
    assert (alone.ties, alone.documents) == ([2], None)


def test_equal_scores() -> None:
    same: Values = {f"q{at}": {"score": 0.5} for at in range(100)}
    found = confirmed({1: same, 2: same, 3: same}, [2, 3])
    assert found.ties == [2, 3]
    best = found.of(2)
    assert best is not None and best.versus_default is not None
    difference = best.versus_default
    assert (difference.mean, difference.low, difference.high, difference.p, difference.needed) == (0, 0, 0, 1, None)


def result(confirmation: Confirmation, default: int | None = 1) -> TunedResult:
    runs = [
        RunResult(score=one.score, params={"a": one.trial}, metrics=one.metrics, trial=one.trial)
        for one in confirmation.results
    ]
    return TunedResult(
        run_results=runs,
        best_idx=0,
        default=next((one for one in runs if one.trial == default), None),
        objectives=[MAX],
        confirmation=confirmation,
    )


def test_what_is_said_of_a_clear_winner() -> None:
    found = result(confirmed({1: scores(0.3, 1), 2: scores(0.6, 2), 3: scores(0.5, 3)}, [2, 3]))
    said = list(lines(found, "score"))
    assert said[0] == "That is optimistic: it was chosen by its questions. On 100 held-out questions:"
    assert said[1].startswith("Trial 2: score 0.5745, better than the default's 0.2949 by 0.2796 [0.2")
    assert len(said) == 2
    assert (found.best.trial, found.ties, found.held_out, found.versus_default) == (
        2,
        [found.best],
        found.confirmation.of(2),  # type: ignore[union-attr]
        found.confirmation.of(2).versus_default,  # type: ignore[union-attr]
    )


def test_what_is_said_of_ties_and_of_little_power() -> None:
    near = {2: scores(0.301, 2, 300), 3: scores(0.302, 3, 100)}
    found = result(confirmed({1: scores(0.3, 1), **near}, [2, 3]))
    said = "\n".join(lines(found, "score"))
    assert "not surely better than the default's 0.2949: by -0.0098 [-0.0" in said
    assert "questions would tell" in said
    assert "These 2 cannot be told apart there: trials 3, 2" in said
    assert "take the cheapest, trial 3, with 100 tokens of context" in said
    text = as_text(found, "score", "max")
    assert "to take" in text
    assert "\n  a: 3\n" in text


def test_few_documents_are_said() -> None:
    found = result(
        confirmed({1: scores(0.3, 1), 2: scores(0.6, 2)}, [2]).model_copy(update={"documents": 3, "clusters": 3.0})
    )
    assert "The questions are about 3 documents: this says nothing of how it does on others" in list(
        lines(found, "score")
    )


def test_json_is_read_back() -> None:
    found = confirmed({1: scores(0.3, 1), 2: scores(0.6, 2)}, [2])
    assert Confirmation.model_validate(as_json(result(found))) == found
    assert Confirmation.model_validate_json(found.model_dump_json()) == found


def test_without_held_out_questions_nothing_is_said() -> None:
    plain = TunedResult(run_results=[RunResult(score=1.0, params={})], best_idx=0)
    assert list(lines(plain, "score")) == []
    assert (plain.best, plain.ties, plain.held_out, plain.versus_default) == (
        plain.run_results[0],
        [plain.run_results[0]],
        None,
        None,
    )


def test_documents_that_the_search_saw_too_are_said() -> None:
    seen = confirmed({1: scores(0.3, 1), 2: scores(0.6, 2)}, [2]).model_copy(update={"seen": 18})
    assert "They are about 20 documents, of which the search saw 18: on others it may be less" in list(
        lines(result(seen), "score")
    )


def test_documents_count_by_their_held_out_questions() -> None:
    """One of ten documents has nearly all of them."""
    found = confirm(
        MAX,
        {1: scores(0.3, 1), 2: scores(0.6, 2)},
        chosen=[2],
        default=1,
        documents={f"q{at}": f"d{max(0, at - 90)}" for at in range(120)},
    )
    assert found is not None
    assert (found.documents, found.seen) == (10, 0)
    assert found.clusters == pytest.approx(100**2 / (91**2 + 9))


def test_of_equals_the_cheapest_is_taken_by_tokens_then_latency_then_dollars() -> None:
    def costs(seed: int, **taken: float) -> Values:
        return {question: {**row, **taken} for question, row in scores(0.5, seed).items()}

    found = confirmed(
        {1: costs(1), 2: costs(2, latency=2.0), 3: costs(3, latency=1.0), 4: costs(4, latency=1.0)}, [2, 3, 4]
    )
    assert found.ties == [3, 4, 2]
    assert "take the cheapest, trial 3, with 1.00 s an answer" in " ".join(lines(result(found), "score"))
    found = confirmed({1: costs(1), 2: costs(2, usd=0.2), 3: costs(3, usd=0.01)}, [2, 3])
    assert "take the cheapest, trial 3, with 0.01 USD an answer" in " ".join(lines(result(found), "score"))
    found = confirmed({1: costs(1), 2: costs(2), 3: costs(3)}, [2, 3])
    assert "take the first, trial 2: they cost the same" in " ".join(lines(result(found), "score"))


def test_what_the_cheapest_hides_is_said() -> None:
    """Trial 2 is level with trial 3, which alone is surely better than the default, and cheaper."""
    default = scores(0.5, 1)
    better = {name: {**row, "score": row["score"] + 0.02} for name, row in default.items()}
    noisy = {
        name: {"score": row["score"] + (0.3 if int(name[1:]) % 2 else -0.27), "chunk_tokens": 5.0}
        for name, row in default.items()
    }
    found = result(confirmed({1: default, 2: noisy, 3: better}, [2, 3]))
    said = list(
        lines(found.model_copy(update={"best_idx": [run.trial for run in found.run_results].index(3)}), "score")
    )
    assert said[1].startswith("Trial 2: ")
    assert "not surely better" in said[1]
    assert said[2].startswith("Trial 3, the best of the search: score ")
    assert any(line.startswith("But trial 3 is surely better than the default: by 0.0200") for line in said)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_few_equal_differences_are_no_proof(count: int) -> None:
    same = {f"q{at}": {"score": 0.0} for at in range(count)}
    other = {f"q{at}": {"score": 1.0} for at in range(count)}
    found = confirm(MAX, {1: same, 2: other}, chosen=[2], default=1, documents={})
    assert found is not None
    versus = found.results[0].versus_default
    assert versus is not None
    assert not versus.is_sure
