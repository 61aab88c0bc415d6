"""Questions without an LLM: from definitions, headings and distinctive sentences."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from raytuner.documents.document import Document
from raytuner.errors import DataError
from raytuner.generation.draft import Draft, Place, is_repeat, words_of
from raytuner.generation.passages import Passage, passages, spread
from raytuner.words import is_unspaced, words

_WORD = re.compile(r"[^\W_](?:[\w'’-]*[^\W_])?")
_DEFINED = re.compile(
    r"(?:The |An? )?([A-Z][\w’'-]*(?: [\w’'-]+){0,4}?) (?:is|are|was|were|means|refers to) (?:an?|the|any) "
)
_POINTS_BACK = re.compile(r"(?:it|this|that|these|those|he|she|they|there|here|who|we|i|you)\b", re.IGNORECASE)
FEWEST_WORDS, MOST_WORDS = 8, 45
"""Of a sentence that is asked about."""
PROSE = 0.55
"""A sentence has at least this share of plain words in lower case; lists of names and tables have less."""
NAMED = 4
"""So many of its distinctive words a question names."""
COMMON = 0.15
"""A word in more than this share of the sentences says nothing."""


def extracted(documents: Sequence[Document], count: int, seed: int = 0) -> list[Draft]:
    """Questions about a collection, spread over all of it.

    Args:
        documents: The collection.
        count: How many; fewer if it has not so many sentences to ask about.
        seed: Another seed gives others.

    Raises:
        DataError: There is no sentence to ask about.
    """
    found = [passage for document in documents for passage in passages(document)]
    terms = Terms.of([_sentence(passage, *place) for passage in found for place in passage.sentences])
    drafts: list[Draft] = []
    asked: list[set[str]] = []
    for at, passage in enumerate(spread(found, seed)):
        possible = _of(passage, terms, by_heading=at % 4 == 0)
        draft = next((one for one in possible if not is_repeat(one.question, asked)), None)
        if draft is not None and len(drafts) < count:
            drafts.append(draft)
            asked.append(words_of(draft.question))
    if not drafts:
        raise DataError("the documents have no sentences to ask about; write questions, or use an LLM")
    return drafts


@dataclass(frozen=True)
class Terms:
    """In how many sentences each word is.

    Attributes:
        counts: By word.
        total: How many sentences there are.
    """

    counts: Mapping[str, int]
    total: int

    @classmethod
    def of(cls, texts: Sequence[str]) -> Terms:
        """Count the words of sentences."""
        counts = Counter(word for text in texts for word in {word.lower() for word in _words(text)})
        return cls(counts, len(texts))

    def weight(self, word: str) -> float:
        """The inverse sentence frequency ``ln(N / n)`` (Sparck Jones, 1972); 0 for what is common or very short."""
        count = self.counts.get(word.lower(), 1)
        if count > max(2, COMMON * self.total) or (len(word) < 3 and not is_unspaced(word)):
            return 0.0
        return math.log(self.total / count) if self.total > count else 0.0


def _words(text: str) -> list[str]:
    return words(text) if is_unspaced(text) else _WORD.findall(text)


def _of(passage: Passage, terms: Terms, *, by_heading: bool) -> Iterator[Draft]:
    """The questions that a passage gives, the best first; by its heading too, of which there would be many."""
    texts = [(start, end, _sentence(passage, start, end)) for start, end in passage.sentences]
    asked = [(start, end, text) for start, end, text in texts if _is_whole(text)]
    for start, end, text in asked:
        defined = _DEFINED.match(text)
        if defined and not _POINTS_BACK.match(defined[1]) and max(map(terms.weight, _words(defined[1])), default=0) > 0:
            yield Draft("definition", f"What is {defined[1]}?", text, (Place(passage.document, start, end),))
    if by_heading and passage.title and asked and max(map(terms.weight, _words(passage.title)), default=0) > 0:
        start, end, text = asked[0]
        title = passage.title
        question = title if title[-1] in "?？" else f"What is said under the heading {title}?"
        yield Draft("heading", question, text, (Place(passage.document, start, end),))
    ranked = sorted(asked, key=lambda one: -_distinction(one[2], terms))
    for start, end, text in ranked:
        named = _named(text, terms)
        if len(named) >= 2:
            yield Draft("fact", _asking(named), text, (Place(passage.document, start, end),))


def _asking(named: Sequence[str]) -> str:
    """A question that names some words; in scripts without spaces nothing but these."""
    if is_unspaced(named[0]):
        return f"{'、'.join(named)}？"
    return f"What is said about {', '.join(named[:-1])} and {named[-1]}?"


def _sentence(passage: Passage, start: int, end: int) -> str:
    return passage.text[start - passage.start : end - passage.start]


def _is_whole(text: str) -> bool:
    """Whether a sentence can stand alone."""
    if is_unspaced(text):
        return FEWEST_WORDS <= len(text) // 3 <= MOST_WORDS
    found = _words(text)
    plain = sum(word.isalpha() and word.islower() for word in found)
    is_prose = plain >= PROSE * len(found) and "|" not in text and "://" not in text
    return (
        FEWEST_WORDS <= len(found) <= MOST_WORDS and is_prose and not _POINTS_BACK.match(text) and text[-1] not in ":?-"
    )


def _distinction(text: str, terms: Terms) -> float:
    """The mean weight of the words that a question would name."""
    best = sorted((terms.weight(word) for word in set(_words(text))), reverse=True)[:NAMED]
    return sum(best) / NAMED


def _named(text: str, terms: Terms) -> list[str]:
    """The most distinctive words of a sentence, in their order."""
    found = list(dict.fromkeys(_words(text)))
    best = sorted(found, key=lambda word: -terms.weight(word))[:NAMED]
    return [word for word in found if word in best and terms.weight(word) > 0]
