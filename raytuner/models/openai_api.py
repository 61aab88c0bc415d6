"""Models of OpenAI and of services that speak its protocol: any model name, the key never in the object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.constants import DEFAULT_NUM_OUTPUTS
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI
from pydantic import PrivateAttr

from raytuner.calls.client import through_ledger
from raytuner.calls.limits import AT_ONCE, Limits
from raytuner.calls.request import RETRIES, Service
from raytuner.errors import ModelError
from raytuner.folders import cache_folder
from raytuner.models import connections, endpoint, server
from raytuner.models.pricing import batch_price, price
from raytuner.models.spec import ModelSpec
from raytuner.pipeline.chunk import token_counter

UNKNOWN_CONTEXT_WINDOW = {"openai": 128_000, "openai-like": 3_900, "smollm2": server.CONTEXT_WINDOW}
"""Tokens, where neither the config nor LlamaIndex knows; an unknown server may have a small model."""
TIMEOUT_S = {"openai": 60.0, "openai-like": 60.0, "smollm2": server.TIMEOUT_S}
MAX_TOKENS = {"smollm2": server.MAX_TOKENS}
CONCURRENCY = {"smollm2": 2}
"""Calls at once: the server answers one for each of its slots; elsewhere `AT_ONCE`."""

# Without a key the constructors would take the one in the environment and keep it.
_NO_KEY = "read-when-used"


class _Service:
    """How a model of LlamaIndex's reaches its service.

    Key and address are read from the environment when the first request is made; a pickle or a repr holds neither.
    """

    _spec: ModelSpec

    def _get_credential_kwargs(self, is_async: bool = False) -> dict[str, Any]:
        common: dict[str, Any] = super()._get_credential_kwargs(is_async)  # type: ignore[misc]
        return {**common, **_credentials(self._spec, is_async)}

    def _get_client(self) -> Any:
        return self._prepared(super()._get_client())  # type: ignore[misc]

    def _get_aclient(self) -> Any:
        return self._prepared(super()._get_aclient())  # type: ignore[misc]

    def _prepared(self, client: Any) -> Any:
        # LlamaIndex may hand out the same client again.
        if "request" in vars(client):
            return client
        bare(client, self._spec).max_retries = 0  # that is the ledger's affair
        return through_ledger(client, service(self._spec, str(client.base_url)))


class ServiceLLM(_Service, OpenAI):  # type: ignore[misc]
    """LlamaIndex's OpenAI for any model name.

    Args:
        spec: The model, of the kind ``openai``, ``openai-like`` or ``smollm2``.
        temperature: 0 to 2.
    """

    _spec: ModelSpec = PrivateAttr()

    def __init__(self, spec: ModelSpec, temperature: float = 0.0) -> None:
        super().__init__(
            model=spec.served_name,
            temperature=temperature,
            max_tokens=spec.max_tokens or MAX_TOKENS.get(spec.kind),
            timeout=spec.timeout or TIMEOUT_S[spec.kind],
            api_key=_NO_KEY,
            api_base=endpoint.public_url(spec),
            max_retries=0,
        )
        self._spec = spec

    @property
    def metadata(self) -> LLMMetadata:
        """LlamaIndex's own facts about a model of OpenAI that it knows, else a chat model; the config's come first."""
        window = self._spec.context_window
        try:
            if self._spec.kind == "openai":
                known = super().metadata
                return known.model_copy(update={"context_window": window or known.context_window})
        except ValueError:
            pass
        return LLMMetadata(
            context_window=window or UNKNOWN_CONTEXT_WINDOW[self._spec.kind],
            num_output=self.max_tokens or DEFAULT_NUM_OUTPUTS,
            is_chat_model=True,
            model_name=self.model,
        )

    def __reduce__(self) -> tuple[Callable[..., ServiceLLM], tuple[ModelSpec, float]]:
        """Pickle the settings only."""
        return ServiceLLM, (self._spec, self.temperature)


class ServiceEmbedding(_Service, OpenAIEmbedding):  # type: ignore[misc]
    """LlamaIndex's OpenAIEmbedding for any model name.

    Args:
        spec: The model, of the kind ``openai`` or ``openai-like``.
    """

    _spec: ModelSpec = PrivateAttr()

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(
            model_name=spec.served_name,
            timeout=spec.timeout or TIMEOUT_S[spec.kind],
            api_key=_NO_KEY,
            api_base=endpoint.public_url(spec),
            max_retries=0,
        )
        self._spec = spec

    def __reduce__(self) -> tuple[Callable[..., ServiceEmbedding], tuple[ModelSpec]]:
        """Pickle the settings only."""
        return ServiceEmbedding, (self._spec,)


def make_llm(spec: ModelSpec, temperature: float) -> ServiceLLM:
    """Make a language model.

    Raises:
        ModelError: LlamaIndex knows that this model cannot chat.
    """
    try:
        made = ServiceLLM(spec, temperature)
        if not made.metadata.is_chat_model:
            raise ModelError(f"model {spec.name!r} completes texts and cannot chat; use one that can")
        return made
    except ValueError as error:
        raise ModelError(f"cannot use {spec.name!r}: {' '.join(str(error).split())}") from error


def bare(client: Any, spec: ModelSpec) -> Any:
    """A client of the ``openai`` package, stripped of what its constructor took from the environment.

    That are the names of organisation and project and headers of the user's own. They belong to the address of the
    environment; one from a config must not get them.

    Args:
        client: A client, synchronous or not; it is changed.
        spec: The model it is for.
    """
    if spec.base_url is not None or spec.kind != "openai":
        client.organization = client.project = client.admin_api_key = None
        client._custom_headers = {}
    return client


def service(spec: ModelSpec, url: str) -> Service:
    """What the ledger needs to know of a model.

    Args:
        spec: The model.
        url: Its address.
    """
    return Service(
        name=spec.name,
        served_name=spec.served_name,
        endpoint=endpoint.without_credentials(url).rstrip("/"),
        limits=Limits(
            spec.concurrency or CONCURRENCY.get(spec.kind, AT_ONCE), spec.requests_per_minute, spec.tokens_per_minute
        ),
        price=price(spec),
        retries=RETRIES if spec.retries is None else spec.retries,
        timeout_s=spec.timeout or TIMEOUT_S[spec.kind],
        checks_model=spec.kind != "smollm2",
        count=token_counter(),
        batch_price=batch_price(spec),
        batches=cache_folder() / "batches" if spec.batch else None,
    )


def _credentials(spec: ModelSpec, is_async: bool) -> dict[str, Any]:
    # Not by the environment's proxy to this machine, which it does not reach, and whose key it need not know.
    is_own = spec.kind == "smollm2"
    make = connections.http_client if is_async else openai.DefaultHttpxClient
    where = (
        server.connect()._asdict() if is_own else {"api_key": endpoint.key(spec), "base_url": endpoint.base_url(spec)}
    )
    return {**where, "http_client": make(trust_env=not is_own)}
