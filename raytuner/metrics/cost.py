"""What an answer of an LLM took, and what judges said of it."""

from __future__ import annotations

from dataclasses import dataclass

from raytuner.errors import TrialError
from raytuner.metrics.evidence import Evidence


class NotKnownError(TrialError):
    """The value is not known, e.g. the price of a model that no table has."""


def latency(evidence: Evidence) -> float:
    """Seconds from the question to the answer of the LLM; of an answer that is used again, those of the real call."""
    return _known(evidence.seconds, "latency", "no LLM answered")


def prompt_tokens(evidence: Evidence) -> float:
    """Tokens that were sent for the answer."""
    return _known(evidence.prompt_tokens, "prompt_tokens", "the service did not count them")


def completion_tokens(evidence: Evidence) -> float:
    """Tokens of the answer."""
    return _known(evidence.completion_tokens, "completion_tokens", "the service did not count them")


def usd(evidence: Evidence) -> float:
    """US dollars that the answer cost."""
    return _known(evidence.usd, "usd", "the price or the tokens are unknown; set models.NAME.price")


@dataclass(frozen=True)
class Judged:
    """A metric that is what a judge said, from 0 to 1; see `raytuner.pipeline.judge`.

    Attributes:
        name: What was judged.
    """

    name: str

    @property
    def __name__(self) -> str:
        """The name, as a function has one."""
        return self.name

    def __call__(self, evidence: Evidence) -> float:
        """What was said of one answer."""
        return _known(evidence.judgements.get(self.name), self.name, "nothing judged the answer; set objective.judge")


def _known(value: float | None, name: str, otherwise: str) -> float:
    if value is None:
        raise NotKnownError(f"{name} is not known: {otherwise}")
    return float(value)
