"""Question sets made from documents, with an LLM or without one."""

from raytuner.generation.extractive import extracted
from raytuner.generation.make import Generated, generate

__all__ = ["Generated", "extracted", "generate"]
