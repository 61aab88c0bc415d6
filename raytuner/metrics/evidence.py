"""What is known of one question in one trial: the input of every metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

# A piece of a document: its index in the collection, its first character, and the one after its last.
Span = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that is known of one question in one trial.

    Attributes:
        ranges: The retrieved chunks, best first, as (document index, start, end) in characters, end exclusive; of a
            sentence window, what it was widened to.
        relevant: For each retrieved chunk, whether it is relevant (`is_relevant`); of a sentence window, its sentence.
        tokens: For each retrieved chunk, the number of tokens of its text.
        total_relevant: How many distinct chunks of the whole chunking are relevant.
        references: The reference spans of the question (of one alternative, where it has several), in the form
            of `ranges`.
        top_k: How many chunks were asked for; fewer may have come.
        answer: The pipeline's answer.
        reference_answer: The answer it should have given; empty if the question cannot be answered.
        other_answers: Further answers that would have been as right.
        similarity: Cosine of the embeddings of the two answers.
        seconds: Seconds that the answer of an LLM took when it was asked for; None without one.
        prompt_tokens: Tokens that were sent for it, all its calls together; None if that is not known.
        completion_tokens: Tokens of what came back, likewise.
        usd: US dollars that it cost; None if the price is unknown.
        judgements: What judges said of the answer, by metric.
        question: The question's text.
        contexts: The texts of the retrieved chunks, in the order of `ranges`.
        cutoff: The N of a metric ``NAME@N``; set by `cut`.
    """

    ranges: Sequence[Span]
    relevant: Sequence[bool]
    tokens: Sequence[int]
    total_relevant: int
    references: Sequence[Span]
    top_k: int
    answer: str | None = None
    reference_answer: str | None = None
    other_answers: Sequence[str] = ()
    similarity: float | None = None
    seconds: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    usd: float | None = None
    judgements: Mapping[str, float] = field(default_factory=dict)
    question: str = ""
    contexts: Sequence[str] = ()
    cutoff: int | None = None

    def __post_init__(self) -> None:
        if not len(self.ranges) == len(self.relevant) == len(self.tokens):
            raise ValueError("ranges, relevant and tokens must have one entry for each retrieved chunk")

    def judged(self, judgements: Mapping[str, float]) -> Evidence:
        """The same evidence with what judges said of the answer.

        Args:
            judgements: Their values by metric.
        """
        return replace(self, judgements=judgements)

    def cut(self, cutoff: int) -> Evidence:
        """The same evidence with only the first `cutoff` retrieved chunks.

        Args:
            cutoff: How many chunks, from 1.
        """
        return replace(
            self,
            ranges=self.ranges[:cutoff],
            relevant=self.relevant[:cutoff],
            tokens=self.tokens[:cutoff],
            contexts=self.contexts[:cutoff],
            cutoff=cutoff,
        )


def is_relevant(chunk: Span, references: Iterable[Span]) -> bool:
    """Whether a chunk is relevant to a question.

    It is if it covers at least half of a reference span's characters, or if at least half of the chunk
    lies in the span. The first half of the rule serves chunks larger than the span, the second smaller ones,
    so that scores of different chunk sizes compare. A reference to a whole document is the span of its text.

    Args:
        chunk: (document index, start, end) in characters, end exclusive.
        references: The question's reference spans, in the same form.

    Returns:
        True if one of the references makes the chunk relevant.
    """
    return any(_is_relevant_to(chunk, reference) for reference in references)


def _is_relevant_to(chunk: Span, reference: Span) -> bool:
    document, start, end = chunk
    other, first, last = reference
    shared = min(end, last) - max(start, first)
    return document == other and shared > 0 and 2 * shared >= min(last - first, end - start)
