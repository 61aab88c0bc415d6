"""Models by name: embeddings and language models as LlamaIndex objects, and the weights of the built-in ones."""

from raytuner.models.factory import (
    BUILTIN_EMBEDDINGS,
    CALLED,
    embedding,
    embedding_identity,
    llm,
    llm_identity,
)
from raytuner.models.readiness import Missing, describe, prepare, required
from raytuner.models.sampling import is_sampled, may_sample
from raytuner.models.spec import ModelSpec, named, resolved, table_of

__all__ = [
    "BUILTIN_EMBEDDINGS",
    "CALLED",
    "Missing",
    "ModelSpec",
    "describe",
    "embedding",
    "embedding_identity",
    "is_sampled",
    "llm",
    "llm_identity",
    "may_sample",
    "named",
    "prepare",
    "required",
    "resolved",
    "table_of",
]
