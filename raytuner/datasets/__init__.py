"""Question sets: reading them, fitting them to the documents, ordering them."""

from raytuner.datasets.blocks import blocks, stratified_order
from raytuner.datasets.question import Question, QuestionSet, Reference
from raytuner.datasets.reader import load
from raytuner.datasets.spans import OnBadSpan

__all__ = ["OnBadSpan", "Question", "QuestionSet", "Reference", "blocks", "load", "stratified_order"]
