"""One score of several metrics: their weighted mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from raytuner.errors import ConfigError, quoted
from raytuner.metrics import Metric

WEIGHTED = "weighted"
"""The name of the score."""


def check_weights(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights by metric.

    Raises:
        ConfigError: There is none, or one is not a number above 0.
    """
    if not weights:
        raise ConfigError("weights are empty; write e.g. {correctness: 0.7, token_f1: 0.3}")
    for name, weight in weights.items():
        is_number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
        if not is_number or not 0 < weight < math.inf:
            raise ConfigError(f"the weight of {name} is {quoted(weight)}; it must be a number above 0")
    return {str(name): float(weight) for name, weight in weights.items()}


def weighted(values: Mapping[str, float], metrics: Sequence[Metric], weights: Mapping[str, float]) -> float:
    """The weighted mean ``sum w v / sum w`` of a question's values; of metrics that are to be low, v is negative.

    Args:
        values: By metric.
        metrics: Those that have weights.
        weights: By metric.
    """
    signed = [(-values[one.name] if one.mode == "min" else values[one.name]) * weights[one.name] for one in metrics]
    return math.fsum(signed) / math.fsum(weights[one.name] for one in metrics)
