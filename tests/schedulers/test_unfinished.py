"""What is left of trials that are lost."""

from __future__ import annotations

from typing import Any

from ray.tune.search import Searcher

from raytuner.schedulers.unfinished import Losses, UnfinishedSearcher


class Inner(Searcher):  # type: ignore[misc]
    """Three trials, and what it is told of them."""

    ended = None

    def __init__(self) -> None:
        super().__init__(metric="score", mode="max")
        self.asked = 0
        self.told: list[tuple[str, bool]] = []
        self.partial: list[str] = []

    def suggest(self, trial_id: str) -> Any:
        self.asked += 1
        return {"number": self.asked, "point": {}} if self.asked <= 3 else Searcher.FINISHED

    def on_partial(self, trial_id: str, share: float, result: Any) -> None:
        self.partial.append(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self.told.append((trial_id, error))


def searcher(inner: Inner, losses: Losses, begun: Any = ()) -> UnfinishedSearcher:
    return UnfinishedSearcher(inner, losses, lambda handed: {**handed, "start": 5}, begun)


def test_a_lost_trial_goes_on_and_the_search_hears_of_its_end_alone() -> None:
    inner = Inner()
    found = searcher(inner, Losses(2))
    assert found.suggest("a") == {"number": 1, "point": {}}
    found.on_trial_complete("a", error=True)
    assert found.suggest("b") == {"number": 1, "point": {}, "start": 5}
    found.on_partial("b", 0.5, {})
    found.on_trial_complete("b", {"score": 1.0})
    assert inner.partial == ["a"]
    assert inner.told == [("a", False)]
    assert found.suggest("c")["number"] == 2


def test_of_held_out_questions_those_are_left_that_an_earlier_driver_has_not_had_answered() -> None:
    inner = Inner()
    held_out = {"number": 1, "point": {}, "start": 3, "held_out": True}
    inner.suggest = lambda trial_id: held_out  # type: ignore[method-assign]
    left = UnfinishedSearcher(inner, Losses(2), lambda handed: {**handed, "start": handed["start"] + 2})
    assert left.suggest("a") == {**held_out, "start": 5}
    left.on_trial_complete("a", error=True)
    assert left.suggest("b") == {**held_out, "start": 5}, "counted from the first one"


def test_so_often_and_no_more() -> None:
    inner, losses = Inner(), Losses(2)
    found = searcher(inner, losses)
    for name in "abc":
        assert found.suggest(name)["number"] == 1
        found.on_trial_complete(name, error=True)
        assert losses.goes_on(name, 1) is (name != "c"), "who asks again hears the same"
    assert inner.told == [("a", True)]
    assert searcher(Inner(), Losses(3, lambda number: True)).suggest("a")
    over = Losses(3, lambda number: number == 1)
    assert (over.goes_on("a", 1), over.goes_on("b", 2)) == (False, True)


def test_the_search_is_not_over_while_a_trial_may_be_lost() -> None:
    inner = Inner()
    found = searcher(inner, Losses(2))
    for name in "abc":
        found.suggest(name)
    assert found.suggest("d") is None
    found.on_trial_complete("a", {"score": 1.0})
    found.on_trial_complete("b", error=True)
    assert found.suggest("e")["number"] == 2
    found.on_trial_complete("c", {"score": 1.0})
    assert found.suggest("f") is None
    found.on_trial_complete("e", {"score": 1.0})
    assert found.suggest("g") == Searcher.FINISHED
    assert [name for name, _ in inner.told] == ["a", "c", "b"]


def test_what_an_earlier_driver_began_comes_first() -> None:
    inner = Inner()
    found = searcher(inner, Losses(2), [("past-7", {"number": 7, "point": {}}), ("past-9", {"number": 9, "point": {}})])
    assert [found.suggest(name)["number"] for name in "abc"] == [7, 9, 1]
    found.on_trial_complete("b", {"score": 1.0})
    found.on_trial_complete("c", {"score": 1.0})
    assert inner.told == [("past-9", False), ("c", False)]
