"""What tokens cost: a dated table of known models, and prices of a config."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

MILLION = 1_000_000
FREE = ("minilm", "wordllama", "smollm2", "mock")
"""Models that are built in."""


@dataclass(frozen=True)
class Price:
    """US dollars for a million tokens.

    Attributes:
        input: Of prompts, or of texts to embed.
        output: Of answers.
    """

    input: float
    output: float = 0.0

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What so many tokens cost, in dollars."""
        return (prompt_tokens * self.input + completion_tokens * self.output) / MILLION


def known_price(kind: str, model: str) -> Price | None:
    """The price of a model; None if it is not known, which is not the same as 0.

    Args:
        kind: That of its spec, see `raytuner.models.spec.ModelSpec.kind`.
        model: Its name at its service. A name with a date, as ``gpt-4o-2024-08-06``, costs what the name does.
    """
    if kind in FREE or kind in ("huggingface",):
        return Price(0.0)
    if kind != "openai":
        return None
    prices = table()["models"]
    names = [name for name in prices if is_dated(model, name)]
    return Price(**prices[max(names, key=len)]) if names else None


def as_of() -> str:
    """The day of the table."""
    return str(table()["as_of"])


@functools.cache
def table() -> dict[str, Any]:
    """``{"as_of", "source", "models": {NAME: {"input", "output"}}}``, in dollars for a million tokens."""
    found: dict[str, Any] = json.loads((files("raytuner") / "data" / "prices.json").read_text(encoding="utf-8"))
    return found


def is_dated(model: str, name: str) -> bool:
    """Whether a model is the one of a name, or that with a date, as ``gpt-4o-2024-08-06``."""
    rest = model.removeprefix(f"{name}-")
    return model == name or (rest != model and rest.replace("-", "").isdecimal())
