"""What models need before a run: weights, keys, libraries, and services that answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from typing import Any, NamedTuple

from raytuner.errors import ModelError, nearest
from raytuner.models import endpoint, external, factory, weights
from raytuner.models.spec import ModelSpec
from raytuner.models.spec import spec as spec_of
from raytuner.models.wheels import REGISTRY

CHECK_TIMEOUT_S = 5.0

_EXTRACTIVE = "extractive"


class Missing(NamedTuple):
    """What a model lacks before a run could start, and the command that mends it."""

    model: str
    reason: str
    fix: str


def required(embeddings: Iterable[str | ModelSpec], llms: Iterable[str | ModelSpec]) -> list[Missing]:
    """List what is missing before a run with these models could start; no network is used, nothing imported.

    Args:
        embeddings: As for ``embedding``.
        llms: As for ``llm``; ``extractive`` needs nothing.

    Returns:
        One entry for each thing that is lacking, in order, without repeats.

    Raises:
        ModelError: A model is unknown.
    """
    missing: list[Missing] = []
    for role, spec in _specs(embeddings, llms):
        missing += _missing(role, spec)
    return list(dict.fromkeys(missing))


def prepare(embeddings: Iterable[str | ModelSpec], llms: Iterable[str | ModelSpec]) -> None:
    """Fetch weights that are missing, and see that every model can answer, so that no trial has to find out.

    Services are asked for their models, dotted paths are imported and made, and smollm2's server is started.

    Args:
        embeddings: As for ``embedding``.
        llms: As for ``llm``; ``extractive`` needs nothing.

    Raises:
        ModelError: A model is unknown, a key, a library or weights are missing, or a service does not answer.
        ConfigError: A dotted path cannot be imported.
    """
    used = list(dict.fromkeys(_specs(embeddings, llms)))
    # What is quick first: nothing is fetched for a run that cannot start.
    for role, spec in used:
        endpoint.key(spec)
        if spec.kind == "huggingface":
            external.check_huggingface(spec, role)
    for role, spec in used:
        if spec.kind in factory.SERVICES:
            check_service(role, spec)
        elif spec.kind in ("dotted", "object"):
            (factory.embedding if role == "embedding" else factory.llm)(spec)
    for _, spec in used:
        if spec.kind in REGISTRY:
            weights.pull(spec.kind)
        if spec.kind == factory.SMOLLM2:
            from raytuner.models import server

            server.connect()


def describe(model: str | ModelSpec) -> str | None:
    """Say where a model is and which variable's key goes there; None for a built-in model on this machine.

    Args:
        model: A name or a spec.
    """
    spec = spec_of(model)
    called = f"{spec.model} " if spec.model != spec.name else ""
    if spec.kind in factory.SERVICES:
        variable = endpoint.key_variable(spec)
        return f"{called}at {endpoint.public_url(spec)}, {f'key from {variable}' if variable else 'no key'}"
    if spec.kind == "dotted":
        return f"{called}by dotted path, not imported"
    if spec.kind == "huggingface":
        return f"{called}on this machine, by Hugging Face"
    if spec.kind == "object":
        return "a Python object"
    return spec.model if called else None


def check_service(role: str, spec: ModelSpec) -> None:
    """Ask a service for its list of models, or for a word or a vector if it keeps none.

    Args:
        role: ``embedding`` or ``llm``.
        spec: The model.

    Raises:
        ModelError: It cannot be reached, refuses the key, has no such model, or is no service of models at all.
    """
    import openai

    from raytuner.models.openai_api import bare

    url, variable = endpoint.public_url(spec), endpoint.key_variable(spec)
    client = bare(
        openai.OpenAI(
            api_key=endpoint.key(spec), base_url=endpoint.base_url(spec), timeout=CHECK_TIMEOUT_S, max_retries=0
        ),
        spec,
    )
    try:
        served = _answer(lambda: [model.id for model in client.models.list().data])
        if served is None and not _speaks(client, role, spec.served_name):
            raise ModelError(
                f"model {spec.name!r}: {url} does not answer as OpenAI's protocol says: correct the address, which "
                "often ends in /v1, or the name of the model"
            )
    except openai.APIConnectionError:
        raise ModelError(
            f"model {spec.name!r}: nothing answers at {url}: start the server, or correct its address"
        ) from None
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        fix = f"correct the key in {variable}" if variable else "name the variable of its key by api_key_env"
        raise ModelError(f"model {spec.name!r}: {url} refuses the key ({error.status_code}): {fix}") from None
    except openai.InternalServerError as error:
        raise ModelError(f"model {spec.name!r}: {url} answers {error.status_code}: see the server's log") from None
    except openai.OpenAIError:
        return  # it is there, and may answer better questions
    # Ollama lists a model with its tag and answers to its bare name too.
    if served and not {spec.served_name, f"{spec.served_name}:latest"} & set(served):
        raise ModelError(f"model {spec.name!r}: {url} has no {spec.served_name!r}; {_few(spec.served_name, served)}")


def _answer(ask: Callable[[], Any]) -> Any:
    """What a service answers; None if it has no such thing, or answers in another form."""
    import openai

    try:
        return ask()
    except (AttributeError, TypeError, ValueError):
        return None
    except openai.APIStatusError as error:
        if error.status_code in (404, 405):
            return None
        raise


def _speaks(client: Any, role: str, model: str) -> bool:
    """Whether a model answers; an address without its ``/v1`` may have a page for whatever is asked."""
    import openai

    def ask() -> Any:
        if role == "embedding":
            return client.embeddings.create(model=model, input="word").data
        said = [{"role": "user", "content": "Say a word."}]
        return client.chat.completions.create(model=model, messages=said, max_tokens=1).choices

    try:
        return bool(_answer(ask))
    except openai.APITimeoutError:
        return True  # it may be loading the model


def _few(name: str, served: list[str]) -> str:
    """The nearest names of a list that may be long."""
    import difflib

    near = difflib.get_close_matches(name, served, n=8, cutoff=0.0)
    return nearest(name, near) + (", ..." if len(served) > len(near) else "")


def _specs(embeddings: Iterable[str | ModelSpec], llms: Iterable[str | ModelSpec]) -> Iterator[tuple[str, ModelSpec]]:
    """The role and the spec of each model."""
    for model in embeddings:
        yield "embedding", factory.check_embedding(model)
    for model in llms:
        if model != _EXTRACTIVE:
            yield "llm", factory.check_llm(model)


def _missing(role: str, spec: ModelSpec) -> Iterator[Missing]:
    if spec.kind in REGISTRY and not weights.cached(spec.kind):
        yield Missing(spec.name, "its weights are not in the cache", f"raytuner models pull {spec.kind}")
    if spec.kind == factory.SMOLLM2 and find_spec("xllamacpp") is None:
        yield Missing(spec.name, "xllamacpp is not installed", "pip install xllamacpp")
    if not endpoint.has_key(spec):
        variable = endpoint.key_variable(spec) or ""
        yield Missing(spec.name, f"{variable} is not set{endpoint.similar(variable)}", f"export {variable}=...")
    if spec.kind == "huggingface" and (package := external.missing_huggingface(role)):
        yield Missing(spec.name, f"{package} is not installed", external.HUGGINGFACE_FIX)
