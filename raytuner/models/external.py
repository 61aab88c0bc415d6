"""Models that are not raytuner's: LlamaIndex classes by dotted path, Python objects, and those of Hugging Face."""

from __future__ import annotations

import functools
import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from raytuner.components import load
from raytuner.errors import ModelError, redact
from raytuner.models.spec import ModelSpec

HUGGINGFACE = {
    "embedding": "llama-index-embeddings-huggingface",
    "llm": "llama-index-llms-huggingface",
}
_BLOCK = 2**20
HUGGINGFACE_FIX = 'pip install "raytuner[huggingface]"'


def embedding(spec: ModelSpec) -> Any:
    """Make an embedding model.

    Raises:
        ModelError: It cannot be made, or is no LlamaIndex ``BaseEmbedding``.
        ConfigError: A dotted path cannot be imported.
    """
    from llama_index.core.base.embeddings.base import BaseEmbedding

    if spec.kind == "huggingface":
        check_huggingface(spec, "embedding")
        from llama_index.embeddings.huggingface import HuggingFaceEmbedding

        made = _called(spec, HuggingFaceEmbedding, {"model_name": spec.served_name, **spec.arguments})
        if "embed_batch_size" not in spec.arguments and _is_on_cpu(spec):
            # Beside others a text is padded, which changes the last bits of its vector; on a CPU it saves little.
            made.embed_batch_size = 1
        return made
    return _made(spec, "embedding", BaseEmbedding)


def llm(spec: ModelSpec, temperature: float) -> Any:
    """Make a language model.

    Args:
        spec: What it is.
        temperature: For models of Hugging Face whose options have none; others have what they are made with.

    Raises:
        ModelError: It cannot be made, or is no LlamaIndex ``LLM``.
        ConfigError: A dotted path cannot be imported.
    """
    from llama_index.core.llms import LLM

    if spec.kind == "huggingface":
        check_huggingface(spec, "llm")
        from llama_index.llms.huggingface import HuggingFaceLLM

        given = {**settings(spec), **spec.arguments, "generate_kwargs": generation(spec, temperature)}
        return _called(spec, HuggingFaceLLM, given)
    return _made(spec, "llm", LLM)


def folder_identity(folder: Path) -> str:
    """What stands for weights that lie in a folder: the names and contents of its files; empty if there is none."""
    if not folder.is_dir():
        return ""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return _contents(folder, tuple((path, path.stat().st_size, path.stat().st_mtime_ns) for path in files))


@functools.lru_cache(maxsize=64)
def _contents(folder: Path, files: tuple[tuple[Path, int, int], ...]) -> str:
    """A digest of files, read once a process while their sizes and times stay; about a second for each gigabyte."""
    digest = hashlib.sha256()
    for path, size, _ in files:
        digest.update(f"{path.relative_to(folder)}\n{size}\n".encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return f"@{digest.hexdigest()[:16]}"


def missing_huggingface(role: str) -> str | None:
    """The distribution that a model of Hugging Face lacks; None if it is installed.

    Args:
        role: ``embedding`` or ``llm``.
    """
    try:
        distribution(HUGGINGFACE[role])
    except PackageNotFoundError:
        return HUGGINGFACE[role]
    return None


def check_huggingface(spec: ModelSpec, role: str) -> None:
    """Refuse a model of Hugging Face whose library is not installed.

    Raises:
        ModelError: With the command that installs it.
    """
    if package := missing_huggingface(role):
        raise ModelError(f"model {spec.name!r} needs {package}: {HUGGINGFACE_FIX}")


def _is_on_cpu(spec: ModelSpec) -> bool:
    """Whether the model of an embedding runs on the CPU, as far as its options and the machine tell."""
    from llama_index.core.utils import infer_torch_device

    return str(spec.arguments.get("device") or infer_torch_device()).startswith("cpu")


def generation(spec: ModelSpec, temperature: float) -> dict[str, Any]:
    """How a model of Hugging Face generates: ``do_sample`` and what else its method ``generate`` is given.

    Args:
        spec: The model; ``generate_kwargs`` among its options go before all else.
        temperature: Where the options have none; greedy at 0.

    Raises:
        ModelError: ``generate_kwargs`` is no mapping.
    """
    own = spec.arguments.get("generate_kwargs") or {}
    if not isinstance(own, dict):
        raise ModelError(f"model {spec.name!r}: generate_kwargs is {own!r}; it must be a mapping, e.g. {{top_p: 0.9}}")
    temperature = own.pop("temperature", temperature)
    # Never left out: the model's own default may be to sample.
    chosen = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
    return {**chosen, **own}


def settings(spec: ModelSpec) -> dict[str, Any]:
    """The arguments of ``HuggingFaceLLM`` that have names of their own in a config."""
    found = {
        "model_name": spec.served_name,
        "tokenizer_name": spec.served_name,
        "context_window": spec.context_window,
        "max_new_tokens": spec.max_tokens,
    }
    return {name: value for name, value in found.items() if value is not None}


def _made(spec: ModelSpec, role: str, base: type) -> Any:
    """The instance that a dotted path or an object comes to: itself, or what a class or a function makes."""
    found = spec.component if spec.component is not None else load(spec.model, role)
    if not isinstance(found, base) and callable(found):
        found = _called(spec, found, spec.arguments)
    if not isinstance(found, base):
        raise ModelError(
            f"{role} {spec.name!r} is a {type(found).__name__}, no LlamaIndex {base.__name__}: "
            "name such a class, a function that makes one, or an instance"
        )
    return found


def _called(spec: ModelSpec, make: Any, arguments: dict[str, Any]) -> Any:
    try:
        return make(**arguments)
    except Exception as error:  # whatever a library or a user's code does
        reason = redact(" ".join(str(error).split()))[:300]
        raise ModelError(
            f"model {spec.name!r} could not be made: {type(error).__name__}: {reason}; see its options"
        ) from error
