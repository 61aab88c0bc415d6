"""Answer metrics on hand-made examples."""

from __future__ import annotations

import pytest

from raytuner.errors import TrialError
from raytuner.metrics import Evidence, abstains, metric


def evidence(
    answer: str | None, reference: str | None, similarity: float | None = None, others: tuple[str, ...] = ()
) -> Evidence:
    return Evidence(
        ranges=[],
        relevant=[],
        tokens=[],
        total_relevant=0,
        references=[],
        top_k=0,
        answer=answer,
        reference_answer=reference,
        other_answers=others,
        similarity=similarity,
    )


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("The cat sat.", "a cat sat", 1.0),  # case, punctuation, articles
        ("cat", "cat sat down", 0.5),  # P = 1, R = 1/3
        ("cat cat cat", "cat", 0.5),  # a repeated word counts as often as both have it
        ("dog", "cat", 0.0),
        ("", "cat", 0.0),
        ("cat", "", 0.0),
        ("", "", 1.0),
        ("The!", "a", 1.0),  # nothing is left of either
        ("the", "cat", 0.0),
        ("state-of-the-art", "stateoftheart", 1.0),  # punctuation goes before the articles, as in SQuAD's script
        ("北京市。", "北京", 2 / 3),  # pairs of characters: 北京 and 京市 against 北京
        ("「北京」", "北京。", 1.0),
        ("在２００８年", "2008年", 0.8),  # 在, 2008, 年 against 2008, 年
        ("iPhone手機", "IPHONE 手機", 1.0),
    ],
)
def test_token_f1(answer: str, reference: str, expected: float) -> None:
    assert metric("token_f1")(evidence(answer, reference)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("answer", "reference", "expected"),
    [
        ("The  Cat,\n sat!", "cat sat", 1.0),
        ("cat sat", "sat cat", 0.0),
        ("", "", 1.0),
        ("", "cat", 0.0),
        ("theatre", "atre", 0.0),
        ("《红楼梦》。", "红楼梦", 1.0),
        ("２００８年", "2008年", 1.0),
        ("ﾃﾞｰﾀ", "データ", 1.0),
        ("“cat”", "cat", 0.0),  # by SQuAD's rule only ASCII punctuation goes
    ],
)
def test_exact_match(answer: str, reference: str, expected: float) -> None:
    assert metric("exact_match")(evidence(answer, reference)) == expected


def test_semantic_similarity_is_the_given_cosine() -> None:
    assert metric("semantic_similarity")(evidence("a", "b", similarity=-0.25)) == -0.25


@pytest.mark.parametrize("name", ["semantic_similarity", "token_f1", "exact_match"])
def test_missing_answers_are_no_zero(name: str) -> None:
    with pytest.raises(TrialError, match="needs"):
        metric(name)(evidence(None, None))
    with pytest.raises(TrialError, match="needs"):
        metric(name)(evidence("an answer", None))


def test_the_best_of_several_reference_answers_counts() -> None:
    several = evidence("cat sat", "dog", others=("cat sat down", "cow"))
    assert metric("token_f1")(several) == pytest.approx(0.8)
    assert metric("exact_match")(several) == 0
    assert metric("exact_match")(evidence("The cow.", "dog", others=("cat sat down", "cow"))) == 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("", True),
        (" \n", True),
        ("I don't know.", True),
        ("I don’t know", True),
        ("Unanswerable", True),
        ("The answer is not in the context.", True),
        ("No answer", True),
        ("I don't know, perhaps a cat.", False),
        ("A cat.", False),
    ],
)
def test_abstention(answer: str, expected: bool) -> None:
    assert abstains(answer) == expected
    for name in ("token_f1", "exact_match"):
        assert metric(name)(evidence(answer, "")) == expected
        # Where there is an answer, to abstain is an answer like any other.
        assert metric(name)(evidence(answer, "yes")) == 0
