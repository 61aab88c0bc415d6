"""A question set from documents: drafts, and what is wrong with them."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from raytuner import aio
from raytuner.documents.document import Document
from raytuner.errors import BudgetUsedUpError, DataError, EndpointDownError
from raytuner.generation.by_llm import CHECK, RECALL, Asked, drafted, knows, prompt_for, say
from raytuner.generation.draft import Draft, is_repeat, words_of
from raytuner.generation.passages import Passage, passages, spread
from raytuner.models import ModelSpec
from raytuner.pipeline.link import key_for
from raytuner.pipeline.pipeline import Pipeline
from raytuner.values import FailedQuestion

NEAR = 2
"""So many other passages are looked at for an answer to a question that is to have none."""
AT_ONCE = 16
"""So many questions are worked on together."""
_KINDS: tuple[Asked, ...] = (
    "fact", "fact", "comparison", "fact", "fact", "unanswerable", "fact", "comparison", "fact", "fact",
)  # fmt: skip


@dataclass
class Generated:
    """What came of it.

    Attributes:
        drafts: The questions.
        dropped: How many were left out, by reason.
        ended: Why there are no more; None if there are as many as asked for.
        is_all: Whether asking again would bring no more.
    """

    drafts: list[Draft] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    ended: str | None = None
    is_all: bool = False


def generate(documents: Sequence[Document], count: int, llm: ModelSpec, seed: int = 0) -> Generated:
    """Have an LLM write questions about passages from all over a collection.

    Seven tenths ask for a fact, two tenths compare two passages, one tenth cannot be answered. A question is left out
    whose quotes are not in the documents, that the LLM answers without them, that the documents answer though they
    should not, or that is asked already. What the LLM says is kept in the cache: the same call again goes on where
    it was, and pays for nothing twice.

    Args:
        documents: The collection.
        count: How many questions.
        llm: The LLM.
        seed: Of the passages and their order.

    Returns:
        The questions; fewer if the passages, the budget or the endpoint gave out.

    Raises:
        DataError: The documents have no passages.
    """
    found = spread([passage for document in documents for passage in passages(document)], seed)
    if not found:
        raise DataError("the documents have no passages to ask about; they are empty, or have no sentences")
    return aio.run(_Writer(documents, llm, found).write(count))


class _Writer:
    def __init__(self, documents: Sequence[Document], llm: ModelSpec, found: Sequence[Passage]) -> None:
        self._pipeline = Pipeline(documents)
        self._params = {"llm": llm}
        self._key = say.key(self._params)
        self._passages = found
        self._is_in_batches = llm.batch

    async def write(self, count: int) -> Generated:
        made, asked = Generated(), list[set[str]]()
        candidates = self._candidates()
        try:
            while (missing := count - len(made.drafts)) and (batch := list(islice(candidates, self._at_once(missing)))):
                drafts = await asyncio.gather(*(self._candidate(*one) for one in batch), return_exceptions=True)
                for draft in drafts:  # those that are there are taken, whatever ended the others
                    self._take(draft, made, asked, count)
                if fatal := [one for one in drafts if isinstance(one, (BudgetUsedUpError, EndpointDownError))]:
                    raise fatal[0]
        except (BudgetUsedUpError, EndpointDownError) as error:
            made.ended = str(error)
            return made
        if len(made.drafts) < count:
            made.ended, made.is_all = "all passages were asked about", True
        return made

    def _at_once(self, missing: int) -> int:
        """How many candidates are worked on together: some come to nothing, but few should be asked for in vain."""
        wanted = missing + missing // 2 + 1
        return wanted if self._is_in_batches else min(wanted, AT_ONCE)

    def _take(self, draft: Draft | str | BaseException, made: Generated, asked: list[set[str]], count: int) -> None:
        if isinstance(draft, (BudgetUsedUpError, EndpointDownError)):
            return
        if isinstance(draft, BaseException):
            if not isinstance(draft, Exception):
                raise draft
            made.dropped[FailedQuestion(str(draft)).reason] += 1
        elif isinstance(draft, str):
            made.dropped[draft] += 1
        elif is_repeat(draft.question, asked):
            made.dropped["asked already"] += 1
        elif len(made.drafts) < count:
            made.drafts.append(draft)
            asked.append(words_of(draft.question))

    def _candidates(self) -> Iterator[tuple[Asked, list[Passage]]]:
        """What to ask about: each passage once, a comparison with the passage half-way round."""
        for at, first in enumerate(self._passages):
            kind = _KINDS[at % len(_KINDS)]
            second = self._passages[(at + len(self._passages) // 2) % len(self._passages)]
            if kind == "comparison" and second is not first:
                yield kind, [first, second]
            else:
                yield ("fact" if kind == "comparison" else kind), [first]

    async def _candidate(self, kind: Asked, sources: list[Passage]) -> Draft | str:
        said = await self._say(prompt_for(kind, sources))
        draft = drafted(kind, said, sources)
        if isinstance(draft, str):
            return draft
        if kind == "unanswerable":
            said = await self._say(CHECK.format(question=draft.question, text=self._near(draft.question, sources[0])))
            return "the documents answer it" if re.match(r"\W*yes\b", said, re.IGNORECASE) else draft
        recalled = await self._say(RECALL.format(question=draft.question))
        return "answered without the documents" if knows(recalled, draft.answer) else draft

    def _near(self, question: str, source: Passage) -> str:
        """The passages that may answer a question: its own, and those that share most words with it."""
        asked = words_of(question)
        others = [one for one in self._passages if one is not source]
        best = sorted(others, key=lambda one: -len(asked & words_of(one.text)))[:NEAR]
        return "\n\n".join(one.text for one in (source, *best))

    def _say(self, prompt: str) -> Awaitable[str]:
        def ask() -> Coroutine[Any, Any, str]:
            call: Coroutine[Any, Any, str] = say(self._params, prompt)
            return call

        return self._pipeline.asked(say, key_for(self._key, prompt), ask)
