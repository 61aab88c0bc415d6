"""Questions that an LLM writes from passages, each checked against the documents."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

from raytuner import models
from raytuner.calls import labelled
from raytuner.datasets.locate import Locator
from raytuner.generation.draft import Draft, Place
from raytuner.generation.passages import Passage
from raytuner.metrics.answer import abstains, normalise
from raytuner.pipeline.embed import Model
from raytuner.pipeline.stage import stage
from raytuner.store import JSON

Asked = Literal["fact", "comparison", "unanswerable"]
SHORTEST = 8
"""Characters of a quote that says something."""
GENERATION = "generation"
"""The stage of its calls."""

_FORM = 'Answer with one JSON object and nothing else: {"question": "...", "answer": "...", "quotes": ["..."]}.'
_QUOTES = "Each quote is copied from the text, character by character, and is as short as supports the answer."
_CLEAR = "It must be clear without the text: name what it is about."
TASKS: Mapping[Asked, str] = {
    "fact": f"Write one question that a reader would ask, and that this text answers. {_CLEAR} {_FORM} {_QUOTES}",
    "comparison": "Write one question that takes both of these texts to answer, such as a comparison. "
    f"{_CLEAR} {_FORM} {_QUOTES} One quote is from each text.",
    "unanswerable": "Write one question that sounds as if this text answered it, but that the text does not answer. "
    f"{_CLEAR} {_FORM} The answer is empty, and so are the quotes.",
}
RECALL = """Answer in a few words. If you do not know, answer "unknown".

Question: {question}
Answer:"""
CHECK = """Does this text answer the question? Say YES or NO.

Question: {question}

Text:
{text}"""


def llm_identity(own: Mapping[str, Any]) -> str:
    """What stands for the LLM in a key."""
    return models.llm_identity(own["llm"])


@stage(version=1, codec=JSON, libraries=("llama-index-core",), llm=llm_identity)
async def say(prompt: str, *, llm: Model, temperature: float = 0.0) -> str:
    """What an LLM says to a prompt."""
    with labelled(stage=GENERATION):
        said = await _model(asyncio.get_running_loop(), llm, temperature).acomplete(prompt)
    return str(said.text or "")


@lru_cache(maxsize=16)
def _model(loop: asyncio.AbstractEventLoop, llm: Model, temperature: float) -> Any:
    return models.llm(llm, temperature=temperature)


def prompt_for(kind: Asked, sources: Sequence[Passage]) -> str:
    """What the LLM is asked for a question about one passage, or two."""
    texts = [f"Text:\n{source.text}" for source in sources]
    return "\n\n".join([TASKS[kind], *texts])


def drafted(kind: Asked, said: str, sources: Sequence[Passage]) -> Draft | str:
    """The question in what an LLM said, if its quotes are in the passages.

    Args:
        kind: What was asked for.
        said: What was said.
        sources: The passages that it was asked about.

    Returns:
        The question, or why there is none.
    """
    found = _json(said) or {}
    question, answer, quotes = (found.get(name) for name in ("question", "answer", "quotes"))
    if not isinstance(question, str) or not question.strip():
        return "without a question"
    if kind == "unanswerable":
        return Draft(kind, question.strip(), "", ())
    if not isinstance(answer, str) or not answer.strip():
        return "without an answer"
    quoted = [quote for quote in quotes if len(str(quote)) >= SHORTEST] if isinstance(quotes, list) else []
    places: list[Place] = []
    for quote in quoted:  # one that both passages hold belongs to the one without a quote
        have = {_source(place, sources) for place in places}
        order = sorted(range(len(sources)), key=lambda at: at in have)
        place = _place(str(quote), [sources[at] for at in order])
        places += [place] if place is not None else []
    if not places or len(places) < len(quoted):
        return "with a quote that is not in the documents"
    if len({_source(place, sources) for place in places}) < len(sources):
        return "without a quote of one passage"
    return Draft(kind, question.strip(), answer.strip(), tuple(dict.fromkeys(places)))


def knows(recalled: str, answer: str) -> bool:
    """Whether what an LLM says without the documents is the answer: half of the answer's words are in it."""
    if abstains(recalled):
        return False
    wanted, said = set(normalise(answer).split()), set(normalise(recalled).split())
    return bool(wanted) and len(wanted & said) >= max(1, (len(wanted) + 1) // 2)


def _json(said: str) -> dict[str, Any] | None:
    """The first JSON object in a text; models like to put words or fences around it."""
    for match in re.finditer(r"\{", said):
        try:
            found, _ = json.JSONDecoder().raw_decode(said[match.start() :])
        except ValueError:
            continue
        return found if isinstance(found, dict) else None
    return None


def _place(quote: str, sources: Sequence[Passage]) -> Place | None:
    """Where a quote stands; white space may differ."""
    for source in sources:
        found = Locator({source.document: source.text}).find(quote)
        if found is not None:
            _, start, end = found
            return Place(source.document, source.start + start, source.start + end)
    return None


def _source(place: Place, sources: Sequence[Passage]) -> int:
    return next(
        at
        for at, source in enumerate(sources)
        if source.document == place.document and source.start <= place.start < source.start + len(source.text)
    )
