"""Which questions and metrics a search scores, and the value of one metric for one question."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from raytuner import metrics
from raytuner.components import is_dotted, load
from raytuner.datasets import Question, QuestionSet
from raytuner.errors import DataError, RaytunerError, TrialError
from raytuner.pipeline.embed import Embedder
from raytuner.values import as_float

logger = logging.getLogger("raytuner")

_NEEDS = {
    "references": "references",
    "spans": "reference spans",
    "answers": "reference answers",
}


def score(metric: metrics.Metric, evidences: Sequence[metrics.Evidence], question: str) -> float:
    """Score one question: by the best of its alternative references, where the metric looks at them.

    Args:
        metric: The metric.
        evidences: One for each alternative.
        question: The id of the question.

    Raises:
        TrialError: The metric fails, or gives no finite number.
    """
    best = max if metric.mode == "max" else min
    # What does not depend on the references is the same for each alternative.
    used = evidences if metric.needs in ("references", "spans") else evidences[:1]
    return best(_value(metric, evidence, question) for evidence in used)


def _value(metric: metrics.Metric, evidence: metrics.Evidence, question: str) -> float:
    try:
        value = metric(evidence)
    except RaytunerError:
        raise
    except Exception as error:  # whatever a user's own metric does
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise TrialError(f"metric {metric.name} failed on question {question!r}: {reason}") from error
    return as_float(value, f"metric {metric.name} of question {question!r}")


def similarities_of(model: Embedder, answers: Sequence[str | None], questions: Sequence[Question]) -> list[float]:
    """How similar answers are to the right ones, as LlamaIndex's ``SemanticSimilarityEvaluator`` computes it.

    Args:
        model: The embedding model that compares.
        answers: One for each question.
        questions: The questions, with their reference answers.

    Returns:
        For each question the cosine of the answer and the nearest right one, 0 where one of them is missing; for a
        question that cannot be answered, 1 if the answer abstains, else 0.
    """
    given = [*answers, *(text for question in questions for text in right_answers(question))]
    texts = list(dict.fromkeys(text for text in given if text and text.strip()))
    # All at once, so that a service is asked once a block.
    vectors = dict(zip(texts, model.texts(texts).astype(np.float64), strict=True)) if texts else {}
    return [_similarity(answer or "", question, vectors) for answer, question in zip(answers, questions, strict=True)]


def right_answers(question: Question) -> list[str]:
    """What is accepted as an answer; nothing for a question that cannot be answered."""
    return [text for text in (question.answer, *question.other_answers) if text and question.answerable]


def _similarity(answer: str, question: Question, vectors: Mapping[str, Any]) -> float:
    if not question.answerable:
        return float(metrics.abstains(answer))
    known = [text for text in right_answers(question) if text in vectors]
    return max((float(vectors[answer] @ vectors[text]) for text in known if answer in vectors), default=0.0)


def look_up(metric: str | Callable[[metrics.Evidence], float]) -> metrics.Metric:
    """A metric by its name or dotted path, which is imported, or from a function.

    Raises:
        ConfigError: There is no such metric.
    """
    if is_dotted(metric):
        return metrics.from_function(load(str(metric), "metric"), str(metric))
    return metrics.metric(metric) if isinstance(metric, str) else metrics.from_function(metric)


def scorable(optimised: Sequence[metrics.Metric], questions: QuestionSet) -> QuestionSet:
    """The questions without those that a metric cannot score since nothing answers them.

    Raises:
        DataError: None is left.
    """
    metric = next((one for one in optimised if one.needs in ("references", "spans")), None)
    if metric is None:
        return questions
    kept = tuple(question for question in questions if question.answerable)
    if not kept:
        raise DataError(
            f"metric {metric.name} needs references, and none of the {len(questions)} questions can be answered"
        )
    if len(kept) < len(questions):
        left_out = len(questions) - len(kept)
        logger.warning("%d questions that cannot be answered are left out: %s needs references", left_out, metric.name)
    return replace(questions, questions=kept)


def reported(optimised: Sequence[metrics.Metric], questions: QuestionSet) -> tuple[metrics.Metric, ...]:
    """The metrics that are reported: the optimised ones, and those of their groups that the questions allow.

    Raises:
        DataError: The questions lack what an optimised metric needs.
    """
    for metric in optimised:
        lacking = [question.id for question in questions if not _serves(metric, question)]
        if lacking:
            raise DataError(
                f"metric {metric.name} needs {_NEEDS[metric.needs]}, which {len(lacking)} of {len(questions)} "
                f"questions lack ({', '.join(lacking[:3])}); {_fix(questions)}"
            )
    names = dict.fromkeys(name for metric in optimised for name in metrics.group(metric)[1:])
    others = [metrics.metric(name) for name in names if name not in {metric.name for metric in optimised}]
    return (*optimised, *(other for other in others if all(_serves(other, question) for question in questions)))


def _fix(questions: QuestionSet) -> str:
    if questions.missed:
        return "some references were not found: correct them, or leave them out with on_bad_span: drop"
    return "add them, or choose another metric"


def _serves(metric: metrics.Metric, question: Question) -> bool:
    """Whether a question has what a metric needs."""
    if metric.needs == "references":
        return bool(question.references or question.documents)
    if metric.needs == "spans":
        return bool(question.references)
    return metric.needs != "answers" or question.answer is not None or not question.answerable
