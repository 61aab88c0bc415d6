"""Models by name: embeddings and language models as LlamaIndex objects, and the weights of the built-in ones."""

from raytuner.models.factory import (
    BUILTIN_EMBEDDINGS,
    Missing,
    embedding,
    embedding_identity,
    llm,
    llm_identity,
    prepare,
    required,
)

__all__ = [
    "BUILTIN_EMBEDDINGS",
    "Missing",
    "embedding",
    "embedding_identity",
    "llm",
    "llm_identity",
    "prepare",
    "required",
]
