"""What all searchers over an ask and a tell have in common."""

from __future__ import annotations

from typing import Any

import pytest

from raytuner.search.ask_tell import AskTellSearcher
from raytuner.search.task import Task
from raytuner.space import Raw, SearchSpace

SPACE = SearchSpace.from_dict({"a": ["x", "y"], "b": {"choice": [1, 2, 3], "default": 2, "when": {"a": "y"}}})


class Recorded(AskTellSearcher):
    """Suggests what it is made with, and notes what it is told."""

    def __init__(self, task: Task, asked: list[Any]) -> None:
        super().__init__(task)
        self.asked = asked
        self.told: list[tuple[Raw, float | None]] = []
        self.expected: list[Raw] = []

    def ask(self) -> Any:
        return self.asked.pop(0)

    def tell(self, raw: Raw, loss: float | None) -> None:
        self.told.append((raw, loss))

    def expect(self, raw: Raw) -> None:
        self.expected.append(raw)


@pytest.mark.parametrize(("mode", "sign"), [("max", -1), ("min", 1)])
def test_losses_are_minimised_and_inactive_parameters_hidden(mode: str, sign: int) -> None:
    made = Recorded(Task(SPACE, "score", mode, points=[{"a": "x", "b": 3}]), [{"a": "y", "b": 3}, {"a": "x", "b": 1}])
    suggested = [made.suggest(name) for name in ("one", "two", "three")]
    assert suggested == made.expected == [{"a": "x", "b": 2}, {"a": "y", "b": 3}, {"a": "x", "b": 2}]
    made.on_trial_complete("two", {"score": 0.5})
    made.on_trial_complete("one", error=True)
    made.on_trial_complete("three", {"score": 1.0})
    made.add_evaluated_point({"a": "x", "b": 3}, 2.0)
    made.add_evaluated_point({"a": "y", "b": 1}, float("nan"), error=True)
    assert made.told == [
        ({"a": "y", "b": 3}, sign * 0.5),
        ({"a": "x", "b": 2}, None),
        ({"a": "x", "b": 2}, sign * 1.0),
        ({"a": "x", "b": 2}, sign * 2.0),
        ({"a": "y", "b": 1}, None),
    ]


@pytest.mark.parametrize("nothing", [None, "FINISHED"])
def test_having_nothing_to_suggest_is_handed_on(nothing: Any) -> None:
    made = Recorded(Task(SPACE, "score", "max"), [nothing])
    assert made.suggest("one") is nothing
    assert made.expected == []
