"""What leaders retrieve, had anew from the documents of a run: its folder holds no text.

A run may be a stranger's. Its code is not imported and no service is called unless it is trusted, and what was changed
since the run is not shown as if the run had seen it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from raytuner.data_hashes import data_of
from raytuner.datasets import Question
from raytuner.errors import in_a_line, redact
from raytuner.going_on import load
from raytuner.lookup import Lookup
from raytuner.models.weights import cached
from raytuner.models.wheels import REGISTRY
from raytuner.page.named import dotted_paths
from raytuner.page.untrusted import config_to_look_at
from raytuner.page.write import embedded
from raytuner.pipeline import parameters as stages
from raytuner.pipeline.generate import extract, generate
from raytuner.rag import RagObjective

logger = logging.getLogger("raytuner")

MOST_TEXT = 3_000_000
"""So many bytes of texts at the most are in a file, as they stand in it."""
MOST_OF_A_CHUNK = 4_000
"""So many characters of a chunk are shown."""
AROUND = 160
"""So many characters before and after a reference are shown with it."""


class Room:
    """What is left of `MOST_TEXT` in a file, which may have several runs.

    Attributes:
        left: Bytes.
    """

    def __init__(self) -> None:
        self.left = MOST_TEXT

    def take(self, value: Any) -> bool:
        """Whether there is room for a value, which is then taken."""
        size = len(embedded(value).encode("utf-8"))
        if size > self.left:
            return False
        self.left -= size
        return True


class Anew:
    """Questions and documents of a run, as they were.

    Args:
        objective: That of the run's config, with its documents.
        trust: Whether errors may be quoted.
        room: How much may be shown.
    """

    def __init__(self, objective: RagObjective, *, trust: bool, room: Room) -> None:
        self._objective = objective
        self._trust = trust
        self._documents = {document.id: document for document in objective.documents}
        self._questions = {question.id: question for question in objective.questions}
        self._passages: dict[tuple[str, int, int], dict[str, Any]] = {}
        self._room = room
        self._lookup = Lookup(objective)

    def texts(self, leaders: Sequence[Mapping[str, Any]], worst: Sequence[str]) -> dict[str, Any]:
        """The texts of the questions, and for the worst of them the references and what each leader retrieves.

        Args:
            leaders: Configurations.
            worst: Ids of questions.

        Returns:
            ``{"why_none": None, "questions": {id: text}, "passages": [{"document", "page", "start", "end", "text"}],
            "shown": {id: {"answer", "references": [...], "found": [[passage, ...], ...], "answers": [...]}}, "note"}``:
            `found` has for each leader a list, best first, of positions in `passages`, and `answers` what it said,
            where that is kept.
        """
        asked = {name: question.text for name, question in self._questions.items()}
        if not self._room.take(asked):
            return {"why_none": "the texts of the questions would make the page too large"}
        try:
            answered = [self._answers(params) for params in leaders]
            shown, note = self._shown(leaders, worst, answered)
        except Exception as error:  # a configuration in a log may be anything
            logger.debug("retrieving again failed", exc_info=True)
            return {"why_none": "what was retrieved cannot be had again" + _why(error, self._trust)}
        passages = list(self._passages.values())
        return {"why_none": None, "questions": asked, "passages": passages, "shown": shown, "note": note}

    def _shown(
        self, leaders: Sequence[Mapping[str, Any]], worst: Sequence[str], answered: Sequence[Mapping[str, str]]
    ) -> tuple[dict[str, Any], str | None]:
        """Questions with what was retrieved, as many as there is room for; and what is to be said of that."""
        shown: dict[str, Any] = {}
        for question in [self._questions[name] for name in worst if name in self._questions]:
            one = {
                "answer": question.answer,
                "answers": [answers.get(question.text) for answers in answered],
                "references": [self._reference(question, at) for at in range(len(question.references))],
            }
            found = [self._found(question, params) for params in leaders] if self._room.take(one) else None
            if found is None or None in found:
                return shown, f"only {len(shown)} questions are shown with what was retrieved: more would be too large"
            shown[question.id] = {**one, "found": found}
        return shown, None

    def _found(self, question: Question, params: Mapping[str, Any]) -> list[int] | None:
        """The numbers of what a configuration retrieves; None if there is no room for it."""
        tuned = {name: value for name, value in params.items() if name not in self._objective.fixed}
        pieces = self._objective.retrieve(question.text, tuned)
        places = [(piece.document, piece.start, piece.end) for piece in pieces]
        for place in places:
            if place not in self._passages:
                passage = self._passage(*place)
                if not self._room.take(passage):
                    return None
                self._passages[place] = passage
        numbers = {place: number for number, place in enumerate(self._passages)}
        return [numbers[place] for place in places]

    def _answers(self, params: Mapping[str, Any]) -> dict[str, str]:
        """What a configuration answered, by question, as far as it is in the cache; no LLM is asked."""
        if not self._objective.needs_answers:
            return {}
        own = self._objective.resolved(params)
        chain = self._lookup.chain(own)
        if not self._lookup.shares_answers(own):
            return {}
        there = self._lookup.found(chain, chain.answers).there
        codec = (extract if chain.is_extractive else generate).codec
        assert codec is not None  # answers are kept
        read = self._lookup.read(list(there.values()), codec)
        said = {text: read[key] for text, key in there.items() if key in read}
        return {text: answer if isinstance(answer, str) else answer.text for text, answer in said.items()}

    def _passage(self, name: str, start: int, end: int) -> dict[str, Any]:
        document = self._documents[name]
        text = document.text[start : min(end, start + MOST_OF_A_CHUNK)]
        page = document.page(start)
        where = {"document": name, **({} if page is None else {"page": page})}
        return {**where, "start": start, "end": end, "text": text}

    def _reference(self, question: Question, at: int) -> dict[str, Any]:
        reference = question.references[at]
        start, end = reference.span
        text = self._documents[reference.document].text
        return {
            "document": reference.document,
            "alternative": reference.alternative,
            "start": start,
            "end": end,
            "before": text[max(0, start - AROUND) : start],
            "text": text[start : min(end, start + MOST_OF_A_CHUNK)],
            "after": text[end : end + AROUND],
        }


def anew(
    folder: Path, run: Mapping[str, Any], leaders: Sequence[Mapping[str, Any]], *, trust: bool, room: Room
) -> Anew | str:
    """The questions and documents of a run, read again.

    Args:
        folder: The run folder.
        run: What its ``run.json`` holds.
        leaders: The configurations that are to retrieve.
        trust: Whether code and services that the config names may be used.
        room: How much may be shown.

    Returns:
        They, or why there are none.
    """
    own = dotted_paths(folder, run, leaders)
    if own and not trust:
        return f"the run names code of its own ({', '.join(own)}), which is not imported; --trust does"
    try:
        return _read(folder, run, leaders, trust, room)
    except Exception as error:  # whatever a file holds now, the rest of the report can be written
        logger.debug("reading the documents of %s again failed", folder, exc_info=True)
        return "documents or questions cannot be read again" + _why(error, trust)


def _why(error: Exception, trust: bool) -> str:
    """What is said of an error; it may quote a file, which a stranger's run may not choose to show."""
    return f": {redact(in_a_line(error))}" if trust else " (raytuner plan CONFIG says why, or report with --trust)"


def _read(
    folder: Path, run: Mapping[str, Any], leaders: Sequence[Mapping[str, Any]], trust: bool, room: Room
) -> Anew | str:
    from raytuner.plan_objective import make_objective, read_documents

    if not {"data", "config", "base"} <= set(run):
        return "the run has no config, or is of an older version: it does not say which documents it was about"
    config = load(folder) if trust else config_to_look_at(run, folder)
    if isinstance(config, str):
        return config
    objective = make_objective(config, read_documents(config, imports=trust, progress=None))
    if not isinstance(objective, RagObjective):
        return "the objective is the run's own: what it retrieves is not known"
    if data_of(objective) != run["data"]:
        return "documents or questions have changed since the run, so what it retrieved cannot be shown"
    if not trust:
        objective.folder = None  # of a stranger, whose modules must not stand in for optional libraries
        if (why := _needs(objective, leaders)) is not None:
            return why
    return Anew(objective, trust=trust, room=room)


def _needs(objective: RagObjective, leaders: Sequence[Mapping[str, Any]]) -> str | None:
    """What retrieving would take that is neither built in nor here, as a sentence."""
    known = {**stages.defaults(), **objective.fixed}
    used = [{**known, **params} for params in leaders]
    specs = objective.specs({str(params["embedding"]) for params in used})
    if foreign := sorted(own.name for own in specs if own.kind not in REGISTRY):
        return f"retrieving would use {', '.join(foreign)}, which is not built in, maybe with a key; --trust does"
    embedded = {str(p["embedding"]) for p in used if p["retriever"] != "bm25" or p["splitter"] == "semantic"}
    if missing := sorted({own.kind for own in objective.specs(embedded) if not cached(own.kind)}):
        return f"the weights of {', '.join(missing)} are not here; raytuner models pull fetches them, as does --trust"
    return None
