"""The order in which all trials see the questions, and its blocks."""

from __future__ import annotations

import heapq
import logging
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from raytuner.datasets.question import Question
from raytuner.errors import ConfigError

logger = logging.getLogger("raytuner")


def stratified_order(questions: Sequence[Question], seed: int) -> list[Question]:
    """Shuffle the questions so that every prefix holds the documents in proportion.

    Any prefix of m questions has more than m * share - 1 and less than m * share + 1 questions of each document,
    where share is the document's part of all questions. So the mean over the first blocks estimates the mean
    over all, even if the documents differ in difficulty.

    A question belongs to its first reference's document, else to the first of its documents, else to none.

    Args:
        questions: The questions; their order does not matter.
        seed: Another seed gives another order.

    Returns:
        The same questions, in the same order for the same set and seed.
    """
    rng = random.Random(seed)
    slots = sorted(_slots(_by_document(questions), len(questions), rng))
    # Of the slots that have opened, the one that closes first: on one resource this schedule misses no deadline
    # (earliest deadline first; Baruah et al., "Proportionate progress", Algorithmica 15, 1996).
    order: list[Question] = []
    open_slots: list[tuple[int, int, int, Question]] = []
    upcoming = iter(slots)
    slot = next(upcoming, None)
    for step in range(len(slots)):
        while slot is not None and slot.opens <= step:
            heapq.heappush(open_slots, (slot.closes, slot.document, slot.place, slot.question))
            slot = next(upcoming, None)
        order.append(heapq.heappop(open_slots)[-1])
    return order


def blocks(questions: Sequence[Question], size: int) -> list[list[Question]]:
    """Cut an order of questions into blocks.

    Args:
        questions: The questions in their order.
        size: Questions in a block; the last block may hold fewer.

    Returns:
        The blocks.

    Raises:
        ConfigError: The size is not positive.
    """
    if size < 1:
        raise ConfigError(f"block_size must be 1 or more, not {size}")
    return [list(questions[start : start + size]) for start in range(0, len(questions), size)]


class Order(NamedTuple):
    """The blocks that a search sees, and those that are held out from it."""

    searched: list[list[Question]]
    held_out: list[list[Question]]

    def start(self, at: int) -> list[list[Question]]:
        """The rest from a block on; from the number of those that are searched on, the rest of the others."""
        return self.searched[at:] if at < len(self.searched) else self.held_out[at - len(self.searched) :]


AUTO = "auto"
FEWEST = 20
"""With fewer questions than this none are held out, even if that is asked for."""
FEWEST_TO_SPLIT = 60
"""With fewer questions than this, ``auto`` holds out none: neither part would tell configurations apart."""


def number_held_out(holdout: int | str, count: int) -> int:
    """How many of so many questions are held out: as asked, or a third for ``auto``."""
    if holdout == AUTO:
        return count // 3 if count >= FEWEST_TO_SPLIT else 0
    if int(holdout) and not 0 <= int(holdout) < count:
        raise ConfigError(f"holdout is {holdout}; there are {count} questions, leave some for the search")
    if holdout and count < FEWEST:
        logger.warning("holding out takes %d questions, there are %d: none are held out", FEWEST, count)
        return 0
    if 0 < int(holdout) < FEWEST:
        logger.warning(
            "%d held-out questions can hardly tell configurations apart: hold out %d or more", int(holdout), FEWEST
        )
    if int(holdout) and count - int(holdout) < FEWEST:
        logger.warning("%d questions are left for the search: %d or more tell more", count - int(holdout), FEWEST)
    return int(holdout)


def order(questions: Sequence[Question], seed: int, size: int, holdout: int = 0) -> Order:
    """Shuffle the questions, stratified by document, hold out the last ones, and cut both into blocks.

    Args:
        questions: The questions.
        seed: Another seed gives another order.
        size: Questions in a block.
        holdout: So many are held out; since all before them hold the documents in proportion, so do they.

    Raises:
        ConfigError: The size is not positive, or all questions would be held out.
    """
    if not 0 <= holdout < len(questions):
        raise ConfigError(f"holdout is {holdout}; there are {len(questions)} questions, leave some for the search")
    shuffled = stratified_order(questions, seed)
    split = len(questions) - holdout
    return Order(blocks(shuffled[:split], size), blocks(shuffled[split:], size))


class _Slot(NamedTuple):
    """The steps between which a question must come for its document to stay in proportion."""

    opens: int
    closes: int
    document: int
    place: int
    question: Question


def _by_document(questions: Iterable[Question]) -> Mapping[str, list[Question]]:
    groups: dict[str, list[Question]] = defaultdict(list)
    for question in sorted(questions, key=lambda question: question.id):
        groups[document_of(question)].append(question)
    return groups


def document_of(question: Question) -> str:
    """The document of its first reference, else the first of its documents, else the empty string."""
    if question.references:
        return question.references[0].document
    return question.documents[0] if question.documents else ""


def _slots(groups: Mapping[str, list[Question]], total: int, rng: random.Random) -> Iterable[_Slot]:
    """Shuffled questions with their steps; the number of a document, which breaks ties, is random too."""
    documents = sorted(groups)
    rng.shuffle(documents)
    for number, document in enumerate(documents):
        group = groups[document]
        rng.shuffle(group)
        for place, question in enumerate(group):
            # With share = len(group) / total: floor(place / share) and ceil((place + 1) / share).
            opens = place * total // len(group)
            closes = -(-(place + 1) * total // len(group))
            yield _Slot(opens, closes, number, place, question)
