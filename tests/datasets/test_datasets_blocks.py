"""The order of the questions and its blocks."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytuner.datasets import Question, Reference, load
from raytuner.datasets.blocks import blocks, stratified_order
from raytuner.errors import ConfigError


def questions_of(sizes: list[int]) -> list[Question]:
    """Questions of as many documents as there are sizes."""
    return [
        Question(f"{document}-{i}", "?", references=(Reference(f"d{document}", 0, 1),))
        for document, size in enumerate(sizes)
        for i in range(size)
    ]


def is_proportional(order: list[Question]) -> bool:
    """Whether each document's count in each prefix is within 1 of its share."""
    totals = Counter(question.references[0].document for question in order)
    counts: Counter[str] = Counter()
    for length, question in enumerate(order, 1):
        counts[question.references[0].document] += 1
        if any(abs(counts[name] - total * length / len(order)) >= 1 for name, total in totals.items()):
            return False
    return True


@given(st.lists(st.integers(1, 30), max_size=12), st.integers(0, 2**32))
def test_every_prefix_is_in_proportion(sizes: list[int], seed: int) -> None:
    questions = questions_of(sizes)
    order = stratified_order(questions, seed)
    assert sorted(question.id for question in order) == sorted(question.id for question in questions)
    assert is_proportional(order)


def test_one_large_document_among_many_small_ones() -> None:
    assert is_proportional(stratified_order(questions_of([100] + [1] * 100), seed=1))


def test_real_questions_in_proportion(data_dir: Path) -> None:
    assert is_proportional(stratified_order(load(data_dir / "chroma-chunking" / "questions.csv").questions, seed=0))


def test_the_order_depends_on_set_and_seed_alone() -> None:
    questions = questions_of([5, 9, 2])
    shuffled = random.Random(3).sample(questions, len(questions))
    assert stratified_order(questions, 4) == stratified_order(shuffled, 4)
    assert len({tuple(stratified_order(questions, seed)) for seed in range(5)}) == 5
    assert [q.id for q in stratified_order(questions_of([3, 1]), 0)] == ["0-2", "0-0", "0-1", "1-0"]


def test_document_ids_stratify_too_and_none_is_a_stratum() -> None:
    questions = [Question(f"a{i}", "?", documents=("a", "b")) for i in range(3)]
    questions += [Question(f"n{i}", "?") for i in range(3)]
    order = stratified_order(questions, seed=0)
    assert [Counter(q.id[0] for q in order[:length])["a"] for length in (2, 4, 6)] == [1, 2, 3]


def test_blocks() -> None:
    questions = questions_of([5])
    assert [len(block) for block in blocks(questions, 2)] == [2, 2, 1]
    assert [question for block in blocks(questions, 2) for question in block] == questions
    assert blocks([], 8) == []
    with pytest.raises(ConfigError, match="block_size must be 1 or more, not 0"):
        blocks(questions, 0)
