"""Spaces and functions whose best value is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from raytuner.space import Params, SearchSpace

FINITE: dict[str, dict[str, Any]] = {
    "categorical": {"a": ["x", "y", None], "b": [1, True, 1.0], "c": [[1], {"k": 2}]},
    "conditional": {
        "retriever": ["bm25", "vector", "hybrid"],
        "fusion": {"choice": ["rank", "weighted"], "when": {"retriever": "hybrid"}},
        "weight": {"float": [0, 1], "step": 0.25, "default": 0.5, "when": {"fusion": "weighted"}},
        "top_k": {"int": [2, 3]},
    },
    "stepped": {"overlap": {"float": [0, 0.5], "step": 0.1}, "n": {"int": [1, 64], "step": 63}},
    "logarithmic": {"size": {"int": [1, 5], "log": True}, "rate": {"float": [0.1, 0.3], "step": 0.1, "log": True}},
    "one point": {"a": [3]},
    "empty": {},
}
"""Spaces of at most 22 configurations."""

ENDLESS: dict[str, dict[str, Any]] = {
    "mixed": {
        "a": ["x", "y"],
        "n": {"int": [1, 20]},
        "t": {"float": [0, 1]},
        "q": {"float": [0, 1], "step": 0.25},
        "rate": {"float": [1e-4, 1], "log": True, "when": {"a": "y"}},
    },
    "logarithmic": {"rate": {"float": [1e-4, 1], "log": True}, "n": {"int": [1, 1000], "log": True}},
    "a million": {name: list(range(10)) for name in "abcdef"},
}
"""Spaces that no search exhausts."""


@dataclass(frozen=True)
class Function:
    """A function to be maximised.

    Attributes:
        spec: Its space.
        score: Its value of a configuration.
        best: Its largest value.
    """

    spec: dict[str, Any]
    score: Callable[[Params], float]
    best: float

    @property
    def space(self) -> SearchSpace:
        """The space."""
        return SearchSpace.from_dict(self.spec)


def _mixed(params: Params) -> float:
    score: float = {"x": -0.3, "y": 0.0, "z": -0.15}[params["a"]]
    score -= (params["t"] - 0.3) ** 2 + ((params["n"] - 7) / 20) ** 2 + 0.2 * (params["q"] - 0.5) ** 2
    return score - ((math.log10(params["rate"]) + 2) / 4) ** 2


def _conditional(params: Params) -> float:
    score: float = {"bm25": 0.0, "vector": 0.1, "hybrid": 0.3}[params["retriever"]] - ((params["top_k"] - 6) / 10) ** 2
    if "k1" in params:
        score -= 0.2 * (params["k1"] - 1.2) ** 2
    if params.get("fusion") == "weighted":
        score += 0.2 - (params["weight"] - 0.7) ** 2
    return score


EFFECTS: dict[str, dict[str, float]] = {
    "splitter": {"sentence": 0.2, "token": 0.1, "markdown": 0.0, "semantic": 0.15},
    "embedding": {"a": 0.0, "b": 0.1, "c": 0.3, "d": 0.15},
    "retriever": {"bm25": 0.0, "vector": 0.1, "hybrid": 0.2},
    "reranker": {"none": 0.0, "small": 0.05, "large": 0.1},
    "model": {"tiny": 0.0, "small": 0.3, "medium": 0.5, "large": 0.55, "other": 0.2},
}
"""What each choice adds to the score of the purely categorical function."""
TOGETHER = 0.1
"""What the best retriever and the best reranker add if they come together."""


def _categorical(params: Params) -> float:
    together = (params["retriever"], params["reranker"]) == ("hybrid", "large")
    return math.fsum([*(EFFECTS[name][value] for name, value in params.items()), TOGETHER * together])


MIXED = Function(
    {
        "a": ["x", "y", "z"],
        "n": {"int": [1, 20]},
        "t": {"float": [0, 1]},
        "q": {"float": [0, 1], "step": 0.25},
        "rate": {"float": [1e-4, 1], "log": True},
    },
    _mixed,
    best=0.0,
)
CONDITIONAL = Function(
    {
        "retriever": ["bm25", "vector", "hybrid"],
        "k1": {"float": [0.5, 2], "step": 0.1, "when": {"retriever": ["bm25", "hybrid"]}},
        "fusion": {"choice": ["rank", "weighted"], "when": {"retriever": "hybrid"}},
        "weight": {"float": [0, 1], "step": 0.05, "when": {"fusion": "weighted"}},
        "top_k": {"int": [1, 10]},
    },
    _conditional,
    best=0.5,
)
CATEGORICAL = Function(
    {name: list(effects) for name, effects in EFFECTS.items()},
    _categorical,
    best=math.fsum([*(max(effects.values()) for effects in EFFECTS.values()), TOGETHER]),
)
FUNCTIONS = {"mixed": MIXED, "conditional": CONDITIONAL, "categorical": CATEGORICAL}
