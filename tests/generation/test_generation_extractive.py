"""Questions without an LLM, from texts of this test and from real documents."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytuner.documents.document import Document
from raytuner.documents.load import load_documents
from raytuner.errors import DataError
from raytuner.generation.draft import Draft, is_repeat, words_of
from raytuner.generation.extractive import extracted
from raytuner.generation.passages import passages, sections, spread

TEXT = """# Tides

A tide is a slow rise and fall of the sea that the moon and the sun cause together on every coast. It comes twice a day.
Spring tides follow full moon and new moon, when sun and moon pull along the same line and strengthen their effects.

## Neap tides

Neap tides follow half moon, when sun and moon pull at right angles and partly cancel each other's effect on the water.

| port | height |
|---|---|
| Bristol | 12 m and more than that in spring when the estuary funnels the whole incoming wave |
"""


def test_sections_and_passages_keep_to_headings() -> None:
    assert [section.title for section in sections(TEXT)] == ["", "Tides", "Neap tides"]
    for passage in passages(Document("d", TEXT)):
        assert TEXT[passage.start : passage.start + len(passage.text)] == passage.text
        assert "#" not in passage.text
        for start, end in passage.sentences:
            assert TEXT[start:end] in passage.text


def texts_of(documents: list[Document], draft: Draft) -> list[str]:
    texts = {document.id: document.text for document in documents}
    return [texts[place.document][place.start : place.end] for place in draft.places]


def test_each_kind_names_what_supports_it() -> None:
    documents = [
        Document("d", TEXT),
        *(Document(f"o{at}", f"Other words stand here, {at} of many.") for at in range(9)),
    ]
    drafts = extracted(documents, 10)
    assert drafts[0].kind in ("definition", "heading", "fact")
    for draft in drafts:
        assert texts_of(documents, draft) == [draft.answer]
        assert "|" not in draft.answer, "tables are nothing to ask about"
    assert any(draft.question == "What is tide?" or "tide" in draft.question.lower() for draft in drafts)


def test_real_documents(data_dir: Path) -> None:
    documents = load_documents(data_dir / "chroma-chunking" / "corpora")
    drafts = extracted(documents, 60, seed=1)
    assert len(drafts) == 60
    assert {place.document for draft in drafts for place in draft.places} == {document.id for document in documents}
    for draft in drafts:
        assert texts_of(documents, draft) == [draft.answer]
    assert extracted(documents, 60, seed=1) == drafts
    assert extracted(documents, 60, seed=2) != drafts
    asked: list[set[str]] = []
    for draft in drafts:
        assert not is_repeat(draft.question, asked)
        asked.append(words_of(draft.question))


def test_chinese_documents(data_dir: Path) -> None:
    documents = load_documents(data_dir / "xquad" / "xquad.zh.json")[:60]
    drafts = extracted(documents, 20)
    assert len(drafts) == 20
    for draft in drafts:
        assert texts_of(documents, draft) == [draft.answer]
        assert draft.question.endswith(("？", "?"))


@pytest.mark.parametrize("text", ["", "Short.", "| a | b |\n" * 50, "No sentence that ends " * 100])
def test_nothing_to_ask_about(text: str) -> None:
    with pytest.raises(DataError, match="no sentences to ask about; write questions, or use an LLM"):
        extracted([Document("d", text)], 5)


@given(st.integers(0, 200), st.integers(0, 5))
def test_any_first_part_is_spread_over_all(count: int, seed: int) -> None:
    found = spread(list(range(count)), seed)
    assert sorted(found) == list(range(count))
    if count >= 40:
        first = sorted(found[:20])
        gaps = [after - before for before, after in itertools.pairwise(first)]
        assert max(gaps) <= 4 * count / 20
