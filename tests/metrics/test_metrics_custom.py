"""Metrics of the user's own."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from raytuner.errors import ConfigError
from raytuner.metrics import Evidence, custom, from_function, group, metric
from raytuner.metrics.registry import TAKEN

EVIDENCE = Evidence(
    ranges=[(0, 0, 4), (0, 4, 9)],
    relevant=[True, False],
    tokens=[1, 2],
    total_relevant=1,
    references=[],
    top_k=2,
    answer="Six.",
    question="How many?",
    contexts=["Six.", "Seven"],
)


@custom(needs="llm", mode="min")
def brevity(evidence: Evidence) -> float:
    return len(evidence.answer or "")


def plain(evidence: Evidence) -> float:
    return sum(evidence.question.count("?") + len(context) for context in evidence.contexts)


def test_a_decorated_function_says_what_it_needs() -> None:
    found = from_function(brevity)
    assert (found.name, found.needs, found.mode) == ("brevity", "llm", "min")
    assert found(EVIDENCE) == brevity(EVIDENCE) == 4


def test_a_plain_function_needs_nothing() -> None:
    found = from_function(plain, "my_metrics.plain")
    assert (found.name, found.needs, found.mode) == ("my_metrics.plain", "nothing", "max")
    assert found(EVIDENCE) == 11


def test_it_travels_to_workers() -> None:
    assert pickle.loads(pickle.dumps(from_function(brevity))) == from_function(brevity)


def test_texts_are_cut_with_their_chunks() -> None:
    assert EVIDENCE.cut(1).contexts == ["Six."]
    assert EVIDENCE.cut(1).question == EVIDENCE.question


def test_what_is_reported_along_with_it() -> None:
    assert group(from_function(brevity)) == ("brevity", "token_f1", "exact_match", *TAKEN, "chunk_tokens")
    assert group(from_function(plain)) == ("plain", "chunk_tokens")
    spans = custom(needs="spans")(lambda evidence: 1.0)
    assert {"span_f4", "ndcg", "chunk_tokens"} < set(group(from_function(spans)))


def test_built_in_metrics_know_their_direction() -> None:
    assert (metric("chunk_tokens@3").mode, metric("ndcg").mode) == ("min", "max")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: custom(needs="answer"), "did you mean 'answers'"),  # type: ignore[arg-type]
        (lambda: custom(mode="maximum"), "did you mean 'max'"),  # type: ignore[arg-type]
        (lambda: from_function(3), "int; it must be a function"),
        (lambda: from_function(metric("ndcg").score), "another"),
    ],
)
def test_mistakes(make: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()
