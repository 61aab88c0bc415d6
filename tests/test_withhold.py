from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from raytuner.withhold import SHORTEST, texts_of, withhold

DOCUMENT = "Owls hunt at night. Their feathers are silent, and their eyes are large."


def test_quotes_of_a_document_are_replaced_whole_or_in_part() -> None:
    message = f'File "x.py", line 3, in parse\nValueError: cannot parse {DOCUMENT[:50]!r} of {DOCUMENT!r}'
    shown = withhold(message, [DOCUMENT, "another text that is long enough"])
    assert shown == "File \"x.py\", line 3, in parse\nValueError: cannot parse '<text withheld>' of '<text withheld>'"


def test_what_does_not_quote_is_kept() -> None:
    message = "ValueError: the eyes are large at night"
    assert withhold(message, [DOCUMENT]) == message
    assert withhold(message * 1000, []) == message * 1000


@given(st.text(min_size=60, max_size=200), st.integers(0, 30), st.integers(SHORTEST, 60), st.text(max_size=20))
def test_no_long_run_of_a_text_is_left(text: str, start: int, length: int, around: str) -> None:
    quote = text[start : start + length]
    shown = withhold(f"{around}{quote}{around}", [text])
    if not quote.isspace():
        runs = (shown[i : i + SHORTEST] for i in range(len(shown) - SHORTEST + 1))
        assert not any(run in text and not run.isspace() for run in runs)


def test_texts_are_found_in_containers_and_documents() -> None:
    node = SimpleNamespace(text="the text of a node in a list")
    nested = {"docs": [DOCUMENT, node, ("short", 3)], "more": {"x": "a string in a dict in a dict"}}
    assert set(texts_of(nested)) == {DOCUMENT, node.text, "a string in a dict in a dict"}
