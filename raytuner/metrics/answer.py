"""Metrics of an answer against the reference answer."""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from typing import TypeVar

from raytuner.errors import TrialError
from raytuner.metrics.evidence import Evidence
from raytuner.words import is_unspaced, words

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_Value = TypeVar("_Value")


def semantic_similarity(evidence: Evidence) -> float:
    """Cosine of the embeddings of answer and reference answer, from -1 to 1; the caller has computed it.

    Source: Risch et al., "Semantic Answer Similarity for Evaluating Question Answering Models", 2021
    (as LlamaIndex's SemanticSimilarityEvaluator, with a bi-encoder).
    """
    return _known(evidence.similarity, "similarity")


def token_f1(evidence: Evidence) -> float:
    """Harmonic mean of the precision and the recall of the answer's words, both texts normalised.

    With S the words that both have (with multiplicity): 2 S / (words of answer + words of reference). If one
    of the texts has no words left, it is 1 if the other has none either, else 0. In scripts without spaces, each
    pair of neighbouring characters is a word (`raytuner.words.words`).

    Source: Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", 2016; the rule
    for empty texts is that of SQuAD 2.0's evaluation script.
    """
    answer, reference = _normalised(evidence)
    ours, theirs = words(answer), words(reference)
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * (Counter(ours) & Counter(theirs)).total() / (len(ours) + len(theirs))


def exact_match(evidence: Evidence) -> float:
    """1 if answer and reference answer are equal after normalisation, else 0.

    Source: Rajpurkar et al., 2016, as `token_f1`.
    """
    answer, reference = _normalised(evidence)
    return float(answer == reference)


def normalise(text: str) -> str:
    """SQuAD's normalisation: lower case; no ASCII punctuation; no a, an, the; single spaces.

    In a text with characters of a script without spaces, no punctuation of Unicode either, and full-width letters
    and digits are the usual ones.
    """
    if is_unspaced(text):
        usual = unicodedata.normalize("NFKC", text)
        text = "".join(character for character in usual if not unicodedata.category(character).startswith("P"))
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def _normalised(evidence: Evidence) -> tuple[str, str]:
    answer = _known(evidence.answer, "answer")
    return normalise(answer), normalise(_known(evidence.reference_answer, "reference_answer"))


def _known(value: _Value | None, name: str) -> _Value:
    if value is None:
        raise TrialError(f"an answer metric needs {name!r} for every question, and one question has none")
    return value
