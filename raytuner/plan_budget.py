"""What a config allows a search to spend, checked before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence

from raytuner.calls.budget import Budget
from raytuner.config import TuneConfig
from raytuner.errors import ConfigError
from raytuner.models import CALLED, ModelSpec
from raytuner.models.factory import SERVICES
from raytuner.models.pricing import price


def budget_of(config: TuneConfig, embeddings: Sequence[ModelSpec], llms: Sequence[ModelSpec]) -> Budget:
    """What may be spent.

    Args:
        config: The config.
        embeddings: The embedding models that some configuration uses.
        llms: The LLMs.

    Raises:
        ConfigError: A budget of dollars needs a price that is not known, or one of dollars or tokens the most tokens of
            an answer.
    """
    own = config.budget
    others = [spec.name for spec in llms if spec.kind in ("dotted", "object")]
    if others and (own.usd, own.tokens, own.llm_calls) != (None, None, None):
        raise ConfigError(
            f"budget: the calls of {', '.join(others)} are not seen by raytuner, and could exceed it; "
            "use a model behind an address, or a budget of minutes or trials"
        )
    called = [spec for spec in (*embeddings, *llms) if spec.kind in CALLED]
    if own.usd is not None and (unknown := [spec.name for spec in called if price(spec) is None]):
        raise ConfigError(
            f"budget.usd is {own.usd:g}, but the price of {', '.join(unknown)} is not known; set "
            f"models.{unknown[0]}.price: {{input: ..., output: ...}} in dollars for a million tokens"
        )
    if own.usd is not None or own.tokens is not None:
        endless = [spec.name for spec in llms if spec.kind in SERVICES and spec.max_tokens is None]
        if endless:
            which = "usd" if own.usd is not None else "tokens"
            raise ConfigError(
                f"budget.{which} needs the most tokens of an answer, or a call could exceed it; set "
                f"models.{endless[0]}.max_tokens"
            )
    return Budget(usd=own.usd, tokens=own.tokens, llm_calls=own.llm_calls)
