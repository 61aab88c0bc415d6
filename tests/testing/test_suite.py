"""The suite itself: each of its tests finds the algorithm that it is there for."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from ray.tune.search import Searcher

from raytuner.search import Algorithm, Task
from raytuner.search.ask_tell import AskTellSearcher
from raytuner.space import Raw
from raytuner.testing import SearcherConformance
from raytuner.testing.suite import all_tests


class Climber(AskTellSearcher):
    """Changes one parameter of the best point so far: an algorithm that passes."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.rng = random.Random(task.seed)
        self.told: list[tuple[float, Raw]] = []
        self.asked = 0

    def ask(self) -> Any:
        self.asked += 1
        drawn = self.space.draw(self.rng)
        if len(self.told) < 8:
            return drawn
        name = self.rng.choice(list(drawn))
        return {**min(self.told, key=lambda found: found[0])[1], name: drawn[name]}

    def tell(self, raw: Raw, loss: float | None) -> None:
        if loss is not None:
            self.told.append((loss, raw))


class Unseeded(Climber):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.rng = random.Random()


class AlwaysTheSameSeed(Climber):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.rng = random.Random(0)


class Slower(Climber):
    def ask(self) -> Any:
        end = time.process_time() + 0.0002 * self.asked
        while time.process_time() < end:
            pass
        return super().ask()


class Worst(Climber):
    """Goes for the worst, which is what a wrong sign does."""

    def tell(self, raw: Raw, loss: float | None) -> None:
        super().tell(raw, None if loss is None else -loss)


class ForgetsThePoints(Climber):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._first.clear()


class StalledByFailures(Climber):
    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.failed = False

    def ask(self) -> Any:
        return Searcher.FINISHED if self.failed else super().ask()

    def tell(self, raw: Raw, loss: float | None) -> None:
        self.failed = self.failed or loss is None
        super().tell(raw, loss)


class SilentForever(Climber):
    def ask(self) -> Any:
        return None if self.asked >= 3 else super().ask()


class SeesInactive(Climber):
    def suggest(self, trial_id: str) -> Any:
        raw = self._open[trial_id] = self._first.popleft() if self._first else self.ask()
        return raw


class OneAtATime(Climber):
    """Suggests the same until it is told of it."""

    def ask(self) -> Any:
        self.rng.seed(len(self.told))
        return super().ask()


class Unsampled(Climber):
    def ask(self) -> Any:
        return {name: object() for name in super().ask()}


class NeverEnds(Climber):
    pass


class RaisesWhenTold(Climber):
    def tell(self, raw: Raw, loss: float | None) -> None:
        if loss is None:
            raise ValueError("no loss")


def suite(searcher: type[Climber], *can: Any, **settings: Any) -> type[SearcherConformance]:
    flags = frozenset({"mixed", "replays", *can})
    found = Algorithm("mine", "", searcher, can=flags, models=True)
    return type("TestMine", (SearcherConformance,), {"algorithm": found, "seeds": 3, **settings})


def failing(made: type[SearcherConformance]) -> set[str]:
    failed = set()
    for name in all_tests():
        try:
            if getattr(made, name) is not None:
                getattr(made(), name)()
        except Exception:
            failed.add(name.removeprefix("test_"))
    return failed


def test_a_small_algorithm_passes() -> None:
    assert failing(suite(Climber, "parallel", seeds=9)) == set()


@pytest.mark.parametrize(
    ("searcher", "can", "expected"),
    [
        (Unseeded, [], {"the_seed_fixes_the_sequence", "a_restored_search_goes_on"}),
        (AlwaysTheSameSeed, [], {"other_seeds_differ"}),
        (Worst, [], {"regret_on_a_mixed_function", "regret_on_a_categorical_function", "regret_when_minimising"}),
        (ForgetsThePoints, [], {"given_points_come_first_and_once"}),
        (StalledByFailures, [], {"failed_trials_do_not_stall", "a_search_ends_though_all_trials_fail"}),
        (RaisesWhenTold, [], {"failed_trials_do_not_stall", "a_search_ends_though_all_trials_fail"}),
        (SilentForever, [], {"finite_spaces_end_exhausted", "trials_are_capped_and_distinct"}),
        (SeesInactive, [], {"inactive_parameters_are_hidden"}),
        (OneAtATime, ["parallel"], {"suggestions_in_flight_differ"}),
        (Unsampled, [], {"values_are_plain_and_on_their_grid", "conditions_hold", "mixed_spaces_are_taken"}),
        (NeverEnds, ["exhausts"], {"it_ends_by_itself"}),
    ],
)
def test_what_is_wrong_is_found(searcher: Any, can: list[Any], expected: set[str]) -> None:
    found = failing(suite(searcher, *can))
    assert expected <= found
    # What one draws unseeded may also be worse than at random.
    if searcher not in (Unseeded, Worst, SilentForever, Unsampled, StalledByFailures, RaisesWhenTold, OneAtATime):
        assert found == expected


def test_a_search_that_slows_down_is_found() -> None:
    with pytest.raises(AssertionError, match=r"ms at first, .* ms at last"):
        suite(Slower)().test_a_long_search_does_not_slow_down()


class SlowerElsewhere(Climber):
    """Takes the longer, but none of the time of this process."""

    def ask(self) -> Any:
        time.sleep(1e-4 * len(self.told))
        return super().ask()


@pytest.mark.parametrize("elsewhere", [None, lambda: None])
def test_a_search_that_slows_down_in_a_child_is_found(elsewhere: Callable[[], str | None] | None) -> None:
    found = Algorithm("mine", "", SlowerElsewhere, can=frozenset({"mixed"}), models=True, problem_elsewhere=elsewhere)
    made = type("TestMine", (SearcherConformance,), {"algorithm": found})()
    if elsewhere is None:
        made.test_a_long_search_does_not_slow_down()
    else:
        with pytest.raises(AssertionError, match=r"ms at first, .* ms at last"):
            made.test_a_long_search_does_not_slow_down()


def refuses(reason: str | None) -> Callable[..., str | None]:
    return lambda name, parameter: reason if name == "t" else None


def test_a_space_that_is_refused_is_left_out_and_the_refusal_tested() -> None:
    def made(reason: str) -> type[SearcherConformance]:
        found = Algorithm("mine", "", Climber, refuses=refuses(reason), models=True)
        return type("TestMine", (SearcherConformance,), {"algorithm": found})

    fine = made("has no t")
    assert fine.test_regret_on_a_mixed_function is None  # type: ignore[comparison-overlap]
    fine().test_what_it_refuses_is_said_in_a_line()
    with pytest.raises(AssertionError):
        made("has\nno t")().test_what_it_refuses_is_said_in_a_line()


def test_what_is_not_claimed_is_not_tested() -> None:
    made = suite(Climber)
    assert made.test_suggestions_in_flight_differ is None  # type: ignore[comparison-overlap]
    assert made.test_it_ends_by_itself is None  # type: ignore[comparison-overlap]
    assert made.test_mixed_spaces_are_taken is not None


def test_known_exceptions_are_expected_to_fail_and_must_be_all_tests() -> None:
    made = suite(Climber, exceptions={"test_other_seeds_differ": "it has none"})
    [mark] = made.test_other_seeds_differ.pytestmark  # type: ignore[attr-defined]
    assert (mark.name, mark.kwargs["reason"]) == ("xfail", "it has none")
    with pytest.raises(AssertionError, match="test_sunshine"):
        suite(Climber, exceptions={"test_sunshine": "no"})
