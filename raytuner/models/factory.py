"""From a model's name to the model, to its cache key, to what it still needs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from raytuner.errors import ModelError, nearest
from raytuner.models import endpoint, weights
from raytuner.models.wheels import REGISTRY

if TYPE_CHECKING:
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from llama_index.core.llms import LLM

BUILTIN_EMBEDDINGS = tuple(REGISTRY)
LONG_TEXT = ("windows", "truncate")

# Raise these when the same weights give other vectors, or the same prompt another answer.
_EMBEDDING_VERSION = 1
_MOCK_VERSION = 1

_OPENAI = "openai:"
_EXTRACTIVE = "extractive"


class Missing(NamedTuple):
    """What a model lacks before a run could start, and the command that mends it."""

    model: str
    reason: str
    fix: str


def embedding(name: str, **options: Any) -> BaseEmbedding:
    """Make an embedding model. Nothing is loaded or fetched before its first use.

    Args:
        name: ``minilm``, ``wordllama`` or ``openai:MODEL``.
        **options: ``long_text``: ``windows`` (default) or ``truncate``, what happens to a text longer than the
            model's window; without effect where the model has none or a service decides.

    Returns:
        A LlamaIndex embedding model; it can be pickled.

    Raises:
        ModelError: The name or an option is unknown, or the key of a service is missing.
    """
    _check_embedding(name)
    _check_options(name, options, ("long_text",))
    long_text = _check_long_text(options.get("long_text", "windows"))
    if name == "minilm":
        from raytuner.models.minilm import MiniLM

        return MiniLM(long_text=long_text)
    if name == "wordllama":
        from raytuner.models.wordllama import WordLlama

        return WordLlama(long_text=long_text)
    endpoint.key(name)
    from raytuner.models.openai_api import ServiceEmbedding

    return ServiceEmbedding(name.removeprefix(_OPENAI))


def llm(name: str, **options: Any) -> LLM:
    """Make a language model. Nothing is sent before its first use.

    Args:
        name: ``openai:MODEL`` or ``mock``.
        **options: ``temperature``: 0 (default) to 2; without effect on ``mock``.

    Returns:
        A LlamaIndex language model; it can be pickled.

    Raises:
        ModelError: The name or an option is unknown, or the key of a service is missing.
    """
    _check_llm(name)
    _check_options(name, options, ("temperature",))
    temperature = _check_temperature(options.get("temperature", 0.0))
    if name == "mock":
        from raytuner.models.mock import MockLLM

        return MockLLM()
    endpoint.key(name)
    from raytuner.models.openai_api import make_llm

    return make_llm(name.removeprefix(_OPENAI), temperature)


def embedding_identity(name: str, long_text: str) -> str:
    """Name an embedding model for cache keys: it changes whenever the vectors may change.

    Args:
        name: As for ``embedding``.
        long_text: As for ``embedding``.

    Raises:
        ModelError: The name or ``long_text`` is unknown.
    """
    _check_embedding(name)
    _check_long_text(long_text)
    if name not in REGISTRY:
        return f"{name}@{endpoint.public_url()}"
    hashes = "+".join(wheel.sha256 for wheel in REGISTRY[name].wheels)
    # A model without a window gives the same vectors either way.
    ending = f"/{long_text}" if name == "minilm" else ""
    return f"{name}/{hashes}/v{_EMBEDDING_VERSION}{ending}"


def llm_identity(name: str) -> str:
    """Name a language model for cache keys: it changes whenever the answers may change.

    Raises:
        ModelError: The name is unknown.
    """
    _check_llm(name)
    return f"mock/v{_MOCK_VERSION}" if name == "mock" else f"{name}@{endpoint.public_url()}"


def required(embeddings: Iterable[str], llms: Iterable[str]) -> list[Missing]:
    """List what is missing before a run with these models could start; no network is used.

    Args:
        embeddings: Names as for ``embedding``.
        llms: Names as for ``llm``; ``extractive`` needs nothing.

    Returns:
        One entry for each model that lacks something, in order, without repeats.

    Raises:
        ModelError: A name is unknown.
    """
    missing = []
    for name in dict.fromkeys(embeddings):
        _check_embedding(name)
        if name in REGISTRY and not weights.cached(name):
            missing.append(Missing(name, "its weights are not in the cache", f"raytuner models pull {name}"))
        elif name.startswith(_OPENAI):
            missing += _missing_key(name)
    for name in dict.fromkeys(llms):
        if name != _EXTRACTIVE:
            _check_llm(name)
            missing += _missing_key(name) if name.startswith(_OPENAI) else []
    return list(dict.fromkeys(missing))


def prepare(embeddings: Iterable[str], llms: Iterable[str]) -> None:
    """Fetch the weights that are missing, so that no worker has to.

    Args:
        embeddings: Names as for ``embedding``.
        llms: Names as for ``llm``; ``extractive`` needs nothing.

    Raises:
        ModelError: A name is unknown, a key is missing, or weights cannot be fetched.
    """
    missing = required(embeddings, llms)
    # Keys first: nothing is fetched for a run that cannot start.
    for name in (m.model for m in missing if m.model.startswith(_OPENAI)):
        endpoint.key(name)
    for name in (m.model for m in missing if m.model in REGISTRY):
        weights.pull(name)


def _missing_key(name: str) -> list[Missing]:
    return [] if endpoint.has_key() else [Missing(name, f"{endpoint.KEY} is not set", f"export {endpoint.KEY}=...")]


def _check_embedding(name: str) -> None:
    if name not in REGISTRY and not _is_openai(name):
        raise ModelError(f"unknown embedding model {name!r}; {nearest(name, [*BUILTIN_EMBEDDINGS, 'openai:MODEL'])}")


def _check_llm(name: str) -> None:
    if name == _EXTRACTIVE:
        raise ModelError("'extractive' is not a language model: it answers without one, inside a pipeline")
    if name != "mock" and not _is_openai(name):
        raise ModelError(f"unknown language model {name!r}; {nearest(name, ['mock', 'extractive', 'openai:MODEL'])}")


def _is_openai(name: str) -> bool:
    return name.startswith(_OPENAI) and len(name) > len(_OPENAI)


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
