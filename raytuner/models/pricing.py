"""What the tokens of a model cost."""

from __future__ import annotations

from raytuner.calls.prices import Price, known_price
from raytuner.models import endpoint
from raytuner.models.spec import ModelSpec


def price(spec: ModelSpec) -> Price | None:
    """The price of a model, from the config or else the table; None if it is unknown.

    A model of OpenAI's at another address has no known price.
    """
    if spec.price is not None:
        return spec.price
    elsewhere = spec.kind == "openai" and endpoint.public_url(spec) != endpoint.DEFAULT_URL
    return None if elsewhere else known_price(spec.kind, spec.served_name)


def batch_price(spec: ModelSpec) -> Price | None:
    """The price of a model that is asked in batches: that of the config, else half of the table's.

    https://platform.openai.com/docs/guides/batch
    """
    found = price(spec)
    if found is None or spec.price is not None:
        return found
    return Price(found.input / 2, found.output / 2)
