"""What a configuration finds, with its place."""

from __future__ import annotations

import pytest

from raytuner import RagObjective
from raytuner.datasets import Question, QuestionSet
from raytuner.documents.document import Document
from raytuner.errors import ConfigError

PAGES = ["Owls hunt at night. ", "Bees make honey from nectar. ", "Tides follow the moon. "]
TEXT = "".join(PAGES)
REPORT = Document("report.pdf", TEXT, "/data/report.pdf", (0, len(PAGES[0]), len(PAGES[0] + PAGES[1])))
NOTES = Document("notes.md", "The moon is far away.")
QUESTIONS = QuestionSet((Question("q", "What do bees make?", "Honey."),))


def objective(**fixed: object) -> RagObjective:
    return RagObjective([REPORT, NOTES], QUESTIONS, metric="chunk_tokens", retriever="bm25", **fixed)


def test_pages_and_sources_are_cited() -> None:
    params = {"splitter": "sentence_window", "window_size": 0, "top_k": 1}
    (found,) = objective().retrieve("Which bees make honey?", params)
    assert (found.document, found.source, found.page) == ("report.pdf", "/data/report.pdf", 2)
    assert found.text == TEXT[found.start : found.end] == "Bees make honey from nectar."
    assert found.citation == "report.pdf, page 2"
    assert str(found).startswith(f"[report.pdf, page 2, {found.start}:{found.end}, ")


def test_a_document_without_pages_is_cited_by_name() -> None:
    best = objective(splitter="sentence_window").retrieve("How far away is it?", {"top_k": 1})
    assert [found.citation for found in best] == ["notes.md"]
    assert best[0].page is None


def test_a_wrong_configuration_is_refused() -> None:
    with pytest.raises(ConfigError, match="top_k"):
        objective().retrieve("Why?", {"top_k": 0})


@pytest.mark.parametrize(("position", "page"), [(0, 1), (19, 1), (20, 2), (len(TEXT) - 1, 3)])
def test_the_page_of_a_character(position: int, page: int) -> None:
    assert REPORT.page(position) == page
