"""From what a pipeline retrieved and answered to the evidence that metrics judge."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from raytuner.datasets import Question
from raytuner.metrics import Evidence, Span, is_relevant
from raytuner.pipeline.chunk import Chunk
from raytuner.pipeline.pipeline import Pipeline
from raytuner.pipeline.retrieve import Ranking


def evidences(
    pipeline: Pipeline,
    own: Mapping[str, Any],
    question: Question,
    ranking: Ranking,
    numbers: Mapping[str, int],
    answer: str | None,
    similarity: float | None,
    taken: Mapping[str, Any],
) -> list[Evidence]:
    """The evidence of one question.

    Args:
        pipeline: The pipeline that retrieved.
        own: The whole configuration.
        question: The question.
        ranking: What was retrieved for it.
        numbers: The position of each document in the collection, by id.
        answer: The pipeline's answer, if there is one.
        similarity: The cosine of it and the nearest right answer.
        taken: What the answer took, as fields of `Evidence`.

    Returns:
        One for each alternative of the question's references, at least one.
    """
    contexts = pipeline.contexts(own, ranking)
    alternatives = _alternatives(question, numbers)
    relevant = pipeline.remember(
        ["relevant", pipeline.split_key(own), alternatives, [numbers[name] for name in question.documents]],
        lambda: _relevant(pipeline, own, question, alternatives, numbers),
    )
    return [
        Evidence(
            ranges=[(chunk.document, chunk.start, chunk.end) for chunk in contexts],
            relevant=[int(i) in positions for i in ranking.chunks],
            tokens=[chunk.tokens for chunk in contexts],
            total_relevant=len(positions),
            references=references,
            top_k=ranking.depth,
            answer=answer,
            reference_answer=question.answer if question.answerable else "",
            other_answers=question.other_answers,
            similarity=similarity,
            question=question.text,
            contexts=[chunk.text for chunk in contexts],
            **taken,
        )
        for references, positions in zip(alternatives, relevant, strict=True)
    ]


def _alternatives(question: Question, numbers: Mapping[str, int]) -> list[list[Span]]:
    """The reference spans of each alternative; a single empty one for a question without any."""
    found: dict[int, list[Span]] = defaultdict(list)
    for reference in question.references:
        found[reference.alternative].append((numbers[reference.document], *reference.span))
    return list(found.values()) or [[]]


def _relevant(
    pipeline: Pipeline,
    own: Mapping[str, Any],
    question: Question,
    alternatives: Sequence[Sequence[Span]],
    numbers: Mapping[str, int],
) -> list[frozenset[int]]:
    """For each alternative the positions of the chunks that are relevant."""
    chunks = pipeline.chunks(own)
    places = pipeline.remember(["places", pipeline.split_key(own)], lambda: _places(chunks))
    whole = {i for name in question.documents for i in places[numbers[name]]}
    return [
        frozenset(whole).union(
            i
            for document in {document for document, _, _ in references}
            for i in places[document]
            if is_relevant((document, chunks[i].start, chunks[i].end), references)
        )
        for references in alternatives
    ]


def _places(chunks: Sequence[Chunk]) -> Mapping[int, list[int]]:
    """The positions of the chunks of each document."""
    places: dict[int, list[int]] = defaultdict(list)
    for position, chunk in enumerate(chunks):
        places[chunk.document].append(position)
    return places
