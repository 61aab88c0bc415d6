"""Calls of models behind an endpoint: limits, retries, budget and cost, the same for all workers of a search."""

from raytuner.calls.context import calling, labelled
from raytuner.calls.limits import Limits
from raytuner.calls.prices import Price

__all__ = ["Limits", "Price", "calling", "labelled"]
