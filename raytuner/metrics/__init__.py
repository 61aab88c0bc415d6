"""Metrics: pure functions from what is known of one question to a number."""

from raytuner.metrics.answer import abstains
from raytuner.metrics.evidence import Evidence, Span, is_relevant
from raytuner.metrics.registry import METRICS, Metric, Mode, Need, custom, from_function, group, metric

__all__ = [
    "METRICS",
    "Evidence",
    "Metric",
    "Mode",
    "Need",
    "Span",
    "abstains",
    "custom",
    "from_function",
    "group",
    "is_relevant",
    "metric",
]
