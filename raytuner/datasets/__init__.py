"""Question sets: reading, converting and fitting them to the documents; their order is in `blocks`."""

from raytuner.datasets.convert import convert
from raytuner.datasets.question import Question, QuestionSet, Reference
from raytuner.datasets.reader import load
from raytuner.datasets.spans import OnBadSpan, fit

__all__ = ["OnBadSpan", "Question", "QuestionSet", "Reference", "convert", "fit", "load"]
