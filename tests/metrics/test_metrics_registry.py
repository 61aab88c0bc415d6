"""Metrics by name."""

from __future__ import annotations

import pickle

import pytest

from raytuner.errors import ConfigError
from raytuner.metrics import METRICS, group, metric
from raytuner.metrics.registry import TAKEN

RETRIEVAL = ("hit_rate", "mrr", "ndcg", "recall", "precision")
SPANS = ("span_recall", "span_precision", "span_f1", "span_f4", "span_iou")


def test_the_names_are_for_good() -> None:
    answers = ("token_f1", "exact_match", "correctness")
    asked = ("faithfulness", "relevancy", *TAKEN)
    names = ("semantic_similarity", *RETRIEVAL, *SPANS, *answers, *asked, "chunk_tokens")
    assert tuple(METRICS) == names
    assert {name: METRICS[name].needs for name in names} == {
        **dict.fromkeys(RETRIEVAL, "references"),
        **dict.fromkeys(SPANS, "spans"),
        **dict.fromkeys(("semantic_similarity", *answers), "answers"),
        **dict.fromkeys(asked, "llm"),
        "chunk_tokens": "nothing",
    }


def test_name_with_cutoff() -> None:
    found = metric("ndcg@5")
    assert (found.name, found.base, found.cutoff) == ("ndcg@5", "ndcg", 5)
    assert (metric("ndcg").name, metric("ndcg").cutoff) == ("ndcg", None)
    assert metric("chunk_tokens@3").cutoff == 3


def test_metrics_travel_to_workers() -> None:
    assert pickle.loads(pickle.dumps(metric("span_f4@2"))) == metric("span_f4@2")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ndgc", "did you mean 'ndcg'.*Valid: .*span_iou"),
        ("ndgc@5", "did you mean 'ndcg'"),
        ("", "unknown metric"),
        ("NDCG", "unknown metric"),
        ("ndcg@", "positive number.*ndcg@5"),
        ("ndcg@0", "positive number"),
        ("ndcg@-1", "positive number"),
        ("ndcg@1.5", "positive number"),
        ("ndcg@\u0665", "positive number"),
        ("ndcg@5@5", "positive number"),
        ("token_f1@5", "as a whole.*write 'token_f1'"),
        ("semantic_similarity@", "as a whole"),
    ],
)
def test_wrong_names(name: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        metric(name)


def test_groups() -> None:
    every = (*RETRIEVAL, *SPANS, "chunk_tokens")
    assert set(group("ndcg")) == set(group("span_f1")) == set(every)
    assert group("span_f1@3") == ("span_f1@3", *every)
    assert group("token_f1") == ("token_f1", "exact_match", *TAKEN, "chunk_tokens")
    assert group("semantic_similarity") == ("semantic_similarity", "token_f1", "exact_match", *TAKEN, "chunk_tokens")
    assert group("faithfulness") == ("faithfulness", "token_f1", "exact_match", *TAKEN, "chunk_tokens")
    assert group("chunk_tokens") == ("chunk_tokens",)
    with pytest.raises(ConfigError):
        group("span_f9")
