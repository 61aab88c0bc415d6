"""What a config wants: the questions, the objective that scores them, and which way is better."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from raytuner import datasets
from raytuner.components import importable
from raytuner.config import TuneConfig
from raytuner.config_sections import AUTO_QUESTIONS
from raytuner.datasets import QuestionSet
from raytuner.documents.document import Document
from raytuner.documents.load import Progress, load_documents
from raytuner.documents.reader import check_reading
from raytuner.errors import ConfigError
from raytuner.generation.draft import as_question
from raytuner.generation.extractive import extracted
from raytuner.goals import Goal, are_plain, with_modes
from raytuner.own_objective import OwnObjective
from raytuner.rag import DEFAULT_METRIC, RagObjective
from raytuner.space import SearchSpace

logger = logging.getLogger("raytuner")


def read_documents(config: TuneConfig, imports: bool, progress: Progress | None) -> list[Document] | None:
    """The documents; None if only code that the config names could read them, and it may not run."""
    section = config.documents
    if section is None:  # the objective is the user's own
        return []
    if section.reader is not None and not imports:
        check_reading(section.options, section.paths)
        return None
    with importable(config.folder if section.reader else None):
        return load_documents(
            section.paths,
            encoding=section.encoding,
            reader=section.reader,
            options=section.options,
            exclude=config.questions.paths if config.questions else (),
            progress=progress,
        )


def make_objective(config: TuneConfig, documents: Sequence[Document] | None) -> RagObjective | OwnObjective:
    """The objective of a config; nothing that it names by a dotted path is imported.

    Args:
        config: The config.
        documents: Those of the config; None if they were not read.

    Raises:
        UserError: With the value, the rule and the fix.
    """
    return (_own_objective if config.objective.function else _rag_objective)(config, documents)


def goals_of(config: TuneConfig, objective: RagObjective | OwnObjective) -> tuple[Goal, ...]:
    """What a config optimises.

    Args:
        config: The config.
        objective: That of the config; its metrics say which way is better where the config does not.
    """
    plain = [Goal(metric=objective.metric, mode=config.objective.mode)]
    return with_modes(config.objectives or plain, objective.modes)


_MORE = ("top_k", "chunk_size")
GROWING = {"recall": _MORE, "hit_rate": _MORE, "span_recall": _MORE, "mrr": ("top_k",)}
"""Metrics that never fall, or hardly, with more of these parameters."""


def warn_of_metric(goals: Sequence[Goal], space: SearchSpace) -> None:
    """Warn of a metric that prefers whatever retrieves most.

    Args:
        goals: What is optimised.
        space: The search space.
    """
    sizes = [name for name in GROWING.get(goals[0].metric, ()) if name in space.parameters]
    if are_plain(goals) and sizes:
        logger.warning(
            "%s never falls with more context: alone it prefers the largest %s; use span_f1 or span_iou, or limit "
            "chunk_tokens in objectives",
            goals[0].metric,
            " and ".join(sizes),
        )


def _rag_objective(config: TuneConfig, documents: Sequence[Document] | None) -> RagObjective:
    questions = _read_questions(config, documents)
    if config.objective.metric is None and config.objectives is None and config.objective.weights is None:
        _say_what_lost_references_change(questions)
    return RagObjective(
        documents,
        questions,
        metric=_metrics(config) or default_metric(questions),
        weights=config.objective.weights,
        block_size=config.objective.block_size,
        seed=config.search.seed,
        similarity_embedding=config.objective.similarity_embedding,
        models=config.models_table(),
        components=config.components_table(),
        folder=config.folder,
        holdout=0 if config.search.holdout == "none" else config.search.holdout,
        cache_sampled=config.cache_sampled,
        max_failed_questions=config.search.max_failed_questions,
        judge=config.objective.judge,
        repeats=config.objective.repeats,
        **config.pipeline,
    )


def _own_objective(config: TuneConfig, documents: Sequence[Document] | None) -> OwnObjective:
    questions = _read_questions(config, documents) if config.questions else ()
    assert config.objective.function is not None
    return OwnObjective(
        config.objective.function,
        (_metrics(config) or ["score"])[0],
        config.folder,
        documents or (),
        tuple(questions),
        config.pipeline,
        config.search.max_failed_questions,
    )


def _metrics(config: TuneConfig) -> list[str]:
    """The metrics that a config names."""
    if config.objectives is not None:
        return [goal.metric for goal in config.objectives]
    return [] if config.objective.metric is None else [config.objective.metric]


def default_metric(questions: QuestionSet) -> str:
    """The metric when none is named: the most exact that the questions allow.

    Of the span metrics it is F4, which weighs recall 16 times: what is not retrieved cannot be answered,
    while text too much only costs. F1 would nearly always take the smallest chunk alone. Questions that
    cannot be answered do not count, unless there are no others.
    """
    answerable = [question for question in questions if question.answerable]
    if answerable and all(question.references for question in answerable):
        return "span_f4"
    if answerable and all(question.references or question.documents for question in answerable):
        return "ndcg"
    return DEFAULT_METRIC


def _say_what_lost_references_change(questions: QuestionSet) -> None:
    """The default metric is for all questions, so a few that have lost their references may decide it."""
    kept = tuple(question for question in questions if question.id not in questions.lost)
    without, metric = default_metric(QuestionSet(kept)), default_metric(questions)
    if kept and without != metric:
        logger.warning(
            "the metric is %s, since %d of %d questions have no reference left; mend these, or leave them out with "
            "`questions: {path: ..., on_bad_span: drop}`, and it is %s",
            metric,
            len(questions) - len(kept),
            len(questions),
            without,
        )


MADE = 60
"""So many questions are made from documents: of fewer none would be held out."""


def _made_questions(config: TuneConfig, documents: Sequence[Document] | None) -> QuestionSet:
    """Questions from the sentences of the documents; they serve to tune retrieval."""
    if not documents:
        raise ConfigError("questions: auto makes them from the documents, which a plan does not read here; name a file")
    texts = {document.id: document.text for document in documents}
    drafts = extracted(documents, MADE, config.search.seed)
    logger.warning("questions: auto: %d were made from the documents; real ones tell more", len(drafts))
    return QuestionSet(tuple(as_question(draft, number, texts) for number, draft in enumerate(drafts, 1)))


def _read_questions(config: TuneConfig, documents: Sequence[Document] | None) -> QuestionSet:
    section = config.questions
    assert section is not None  # or the config would have been refused
    if section.paths == [AUTO_QUESTIONS]:
        return _made_questions(config, documents)
    questions = datasets.load(
        section.paths,
        columns=section.columns,
        on_bad_span=section.on_bad_span,
        encoding=section.encoding,
        documents=documents or None,
    )
    if questions.dropped:
        logger.warning(
            "%s: %d reference spans do not match their documents and were dropped",
            ", ".join(section.paths),
            questions.dropped,
        )
    return questions
