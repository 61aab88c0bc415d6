"""Metrics of an answer against the reference answer."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from raytuner.errors import TrialError
from raytuner.metrics.evidence import Evidence
from raytuner.words import is_unspaced, words

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_Value = TypeVar("_Value")

# Answers that only say that there is none, as `normalise` leaves them.
ABSTENTIONS = (
    "",
    "unanswerable",
    "question is unanswerable",
    "question cannot be answered",
    "no answer",
    "none",
    "na",
    "not answerable",
    "not enough information",
    "unknown",
    "empty response",
    "i dont know",
    "i do not know",
    "dont know",
    "not in context",
    "answer is not in context",
    "not mentioned in context",
)


def semantic_similarity(evidence: Evidence) -> float:
    """Cosine of the embeddings of answer and reference answer, from -1 to 1; the caller has computed it.

    Of several reference answers the best counts. For a question that cannot be answered it is 1 if the answer
    `abstains`, else 0.

    Source: Risch et al., "Semantic Answer Similarity for Evaluating Question Answering Models", 2021
    (as LlamaIndex's SemanticSimilarityEvaluator, with a bi-encoder).
    """
    return _known(evidence.similarity, "similarity")


def token_f1(evidence: Evidence) -> float:
    """Harmonic mean of the precision and the recall of the answer's words, both texts normalised.

    With S the words that both have (with multiplicity): 2 S / (words of answer + words of reference). If one
    of the texts has no words left, it is 1 if the other has none either, else 0. In scripts without spaces, each
    pair of neighbouring characters is a word (`raytuner.words.words`). The best of several reference answers counts.

    Source: Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", 2016; the rule
    for empty texts is that of SQuAD 2.0's evaluation script.
    """
    return _best(evidence, _word_f1)


def exact_match(evidence: Evidence) -> float:
    """1 if the answer is equal to one of the reference answers after normalisation, else 0.

    Source: Rajpurkar et al., 2016, as `token_f1`.
    """
    return _best(evidence, lambda answer, reference: float(answer == reference))


def abstains(answer: str) -> bool:
    """Whether an answer is empty or says no more than that there is none: one of `ABSTENTIONS`.

    Args:
        answer: The answer; case, ASCII punctuation and articles do not matter.
    """
    return normalise(answer.replace("’", "'")) in ABSTENTIONS


def normalise(text: str) -> str:
    """SQuAD's normalisation: lower case; no ASCII punctuation; no a, an, the; single spaces.

    In a text with characters of a script without spaces, no punctuation of Unicode either, and full-width letters
    and digits are the usual ones.
    """
    if is_unspaced(text):
        usual = unicodedata.normalize("NFKC", text)
        text = "".join(character for character in usual if not unicodedata.category(character).startswith("P"))
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _best(evidence: Evidence, score: Callable[[str, str], float]) -> float:
    """The best score of the answer against the reference answers, all normalised.

    Where the reference is empty, since the question cannot be answered, to abstain is to give the empty answer.
    """
    answer = _known(evidence.answer, "answer")
    references = (_known(evidence.reference_answer, "reference_answer"), *evidence.other_answers)
    given = "" if not any(references) and abstains(answer) else normalise(answer)
    return max(score(given, normalise(reference)) for reference in references)


def _word_f1(answer: str, reference: str) -> float:
    ours, theirs = words(answer), words(reference)
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * (Counter(ours) & Counter(theirs)).total() / (len(ours) + len(theirs))


def _known(value: _Value | None, name: str) -> _Value:
    if value is None:
        raise TrialError(f"an answer metric needs {name!r} for every question, and one question has none")
    return value
