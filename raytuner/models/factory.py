"""From a model's name to the model, and to its cache key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytuner.components import run_token
from raytuner.errors import ModelError, nearest
from raytuner.models import endpoint, external
from raytuner.models.spec import ModelSpec
from raytuner.models.spec import spec as spec_of
from raytuner.models.wheels import REGISTRY
from raytuner.versions import installed_version

if TYPE_CHECKING:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.llms import LLM

BUILTIN_EMBEDDINGS = tuple(name for name, weights in REGISTRY.items() if weights.kind == "embedding")
LONG_TEXT = ("windows", "truncate")
SMOLLM2 = "smollm2"
SERVICES = ("openai", "openai-like")
CALLED = (*SERVICES, SMOLLM2)
"""Kinds of models that are called over HTTP."""
FORMS = ("openai:MODEL", "openai-like:MODEL", "huggingface:NAME", "package.module.Name")

# Raise these when the same weights give other vectors, or the same prompt another answer.
_EMBEDDING_VERSION = 1
_MOCK_VERSION = 1
_SMOLLM2_VERSION = 1

LIBRARIES = {
    "minilm": ("onnxruntime", "tokenizers"),
    "wordllama": ("tokenizers",),
    "smollm2": ("xllamacpp",),
    "huggingface embedding": (
        external.HUGGINGFACE["embedding"],
        "sentence-transformers",
        "tokenizers",
        "torch",
        "transformers",
    ),
    "huggingface llm": (external.HUGGINGFACE["llm"], "tokenizers", "torch", "transformers"),
}
"""The packages that decide what a model makes of its weights; their versions are in its key."""

_EXTERNAL = ("huggingface", "dotted", "object")


def embedding(model: str | ModelSpec, **options: Any) -> BaseEmbedding:
    """Make an embedding model. Of built-in models and services nothing is loaded or sent before the first use.

    Args:
        model: ``minilm``, ``wordllama``, ``openai:MODEL``, ``huggingface:NAME``, a dotted path, or a spec.
        **options: ``long_text``: ``windows`` (default) or ``truncate``, what happens to a text longer than the
            model's window; without effect where the model has none or a service decides.

    Returns:
        A LlamaIndex embedding model; it can be pickled.

    Raises:
        ModelError: The name or an option is unknown, the key of a service or a library is missing, or what a
            dotted path names is no embedding model.
    """
    spec = check_embedding(model)
    _check_options(spec.name, options, ("long_text",))
    long_text = _check_long_text(options.get("long_text", "windows"))
    if spec.kind == "minilm":
        from raytuner.models.minilm import MiniLM

        return MiniLM(long_text=long_text)
    if spec.kind == "wordllama":
        from raytuner.models.wordllama import WordLlama

        return WordLlama(long_text=long_text)
    if spec.kind in _EXTERNAL:
        return external.embedding(spec)
    endpoint.key(spec)
    from raytuner.models.openai_api import ServiceEmbedding

    return ServiceEmbedding(spec)


def llm(model: str | ModelSpec, **options: Any) -> LLM:
    """Make a language model. Of built-in models and services nothing is loaded or sent before the first use.

    Args:
        model: ``smollm2``, ``mock``, ``openai:MODEL``, ``huggingface:NAME``, a dotted path, or a spec.
        **options: ``temperature``: 0 (default) to 2; without effect on ``mock``, dotted paths and objects, and on a
            model of Hugging Face whose options have one.

    Returns:
        A LlamaIndex language model; it can be pickled.

    Raises:
        ModelError: The name or an option is unknown, the key of a service or a library is missing, or what a
            dotted path names is no language model.
    """
    spec = check_llm(model)
    _check_options(spec.name, options, ("temperature",))
    temperature = _check_temperature(options.get("temperature", 0.0))
    if spec.kind == "mock":
        from raytuner.models.mock import MockLLM

        return MockLLM()
    if spec.kind in _EXTERNAL:
        return external.llm(spec, temperature)
    endpoint.key(spec)
    from raytuner.models.openai_api import make_llm

    return make_llm(spec, temperature)


def embedding_identity(model: str | ModelSpec, long_text: str) -> str:
    """Name an embedding model for cache keys: it changes whenever the vectors may change.

    Args:
        model: As for ``embedding``.
        long_text: As for ``embedding``.

    Raises:
        ModelError: The model or ``long_text`` is unknown.
    """
    spec = check_embedding(model)
    _check_long_text(long_text)
    if spec.kind not in REGISTRY:
        return _identity(spec, "embedding")
    # A model without a window gives the same vectors either way.
    ending = f"/{long_text}" if spec.kind == "minilm" else ""
    return f"{_weights_identity(spec.kind, _EMBEDDING_VERSION)}{ending}"


def llm_identity(model: str | ModelSpec) -> str:
    """Name a language model for cache keys: it changes whenever the answers may change.

    Raises:
        ModelError: The model is unknown.
    """
    spec = check_llm(model)
    if spec.kind == "mock":
        return f"mock/v{_MOCK_VERSION}"
    if spec.kind == SMOLLM2:
        weights = _weights_identity(SMOLLM2, _SMOLLM2_VERSION)
        return f"{weights}{spec.settings('context_window', 'max_tokens', 'version')}"
    return _identity(spec, "llm")


def check_embedding(model: str | ModelSpec) -> ModelSpec:
    """The spec of an embedding model.

    Raises:
        ModelError: There is no such embedding model, or its address or key cannot be used.
    """
    spec = spec_of(model)
    if spec.kind not in (*BUILTIN_EMBEDDINGS, *SERVICES, *_EXTERNAL):
        valid = [*spec.others, *BUILTIN_EMBEDDINGS, *FORMS]
        raise ModelError(f"unknown embedding model {spec.model!r}; {nearest(spec.model, valid)}")
    endpoint.check(spec)
    return spec


def check_llm(model: str | ModelSpec) -> ModelSpec:
    """The spec of a language model.

    Raises:
        ModelError: There is no such language model, or its address or key cannot be used.
    """
    spec = spec_of(model)
    if spec.kind == "extractive":
        raise ModelError("'extractive' is not a language model: it answers without one, inside a pipeline")
    if spec.kind not in ("mock", SMOLLM2, *SERVICES, *_EXTERNAL):
        valid = [*spec.others, "mock", SMOLLM2, "extractive", *FORMS]
        raise ModelError(f"unknown language model {spec.model!r}; {nearest(spec.model, valid)}")
    if spec.batch and spec.kind not in SERVICES:
        raise ModelError(f"models.{spec.name}.batch: only a service has batches; remove it, or name openai:MODEL")
    endpoint.check(spec)
    return spec


def _weights_identity(name: str, version: int) -> str:
    return f"{name}/{'+'.join(wheel.sha256 for wheel in REGISTRY[name].wheels)}/v{version}{_by(name)}"


def _by(name: str) -> str:
    """By which versions of its libraries a model is run."""
    return "".join(f"/{package}={installed_version(package)}" for package in LIBRARIES[name])


def _identity(spec: ModelSpec, role: str) -> str:
    if spec.kind == "object":
        return f"object:{spec.token}@{run_token()}"  # between two searches it may be changed
    where = f"@{endpoint.public_url(spec)}" if spec.kind in SERVICES else ""
    if spec.kind == "huggingface":
        where = f"{external.folder_identity(Path(spec.served_name).expanduser())}{_by(f'huggingface {role}')}"
    code = f"@{run_token()}" if spec.kind == "dotted" and not spec.version else ""
    return f"{spec.model}{where}{code}{spec.settings('context_window', 'max_tokens', 'options', 'version')}"


def _check_options(name: str, options: dict[str, Any], valid: tuple[str, ...]) -> None:
    for option in options:
        if option not in valid:
            raise ModelError(f"unknown option {option!r} of model {name!r}; {nearest(option, valid)}")


def _check_long_text(value: Any) -> str:
    if value not in LONG_TEXT:
        raise ModelError(f"long_text is {value!r}; {nearest(value, LONG_TEXT)}")
    return str(value)


def _check_temperature(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 2:
        raise ModelError(f"temperature is {value!r}; it must be a number from 0 to 2")
    return float(value)
