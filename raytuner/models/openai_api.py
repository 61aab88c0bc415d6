"""Models of OpenAI and of services that speak its protocol: any model name, the key never in the object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llama_index.core.base.llms.types import LLMMetadata
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI

from raytuner.errors import ModelError
from raytuner.models import endpoint

UNKNOWN_CONTEXT_WINDOW = 128_000

# Without a key the constructors would take the one in the environment and keep it.
_NO_KEY = "read-when-used"


class ServiceLLM(OpenAI):  # type: ignore[misc]
    """LlamaIndex's OpenAI for any model name.

    Key and address are read from the environment when the first request is made; a pickle or a repr holds neither.

    Args:
        model: The model's name at the service.
        temperature: 0 to 2.
    """

    def __init__(self, model: str, temperature: float = 0.0) -> None:
        super().__init__(model=model, temperature=temperature, api_key=_NO_KEY, api_base=endpoint.public_url())

    @property
    def metadata(self) -> LLMMetadata:
        """LlamaIndex's own facts about a model it knows; else a chat model with a window of 128,000 tokens."""
        try:
            return super().metadata
        except ValueError:
            return LLMMetadata(context_window=UNKNOWN_CONTEXT_WINDOW, is_chat_model=True, model_name=self.model)

    def __reduce__(self) -> tuple[Callable[..., ServiceLLM], tuple[str, float]]:
        """Pickle the settings only."""
        return ServiceLLM, (self.model, self.temperature)

    def _get_credential_kwargs(self, is_async: bool = False) -> dict[str, Any]:
        return {**super()._get_credential_kwargs(is_async), **_credentials(self.model)}


class ServiceEmbedding(OpenAIEmbedding):  # type: ignore[misc]
    """LlamaIndex's OpenAIEmbedding for any model name.

    Key and address are read from the environment when the first request is made; a pickle or a repr holds neither.

    Args:
        model: The model's name at the service.
    """

    def __init__(self, model: str) -> None:
        super().__init__(model_name=model, api_key=_NO_KEY, api_base=endpoint.public_url())

    def __reduce__(self) -> tuple[Callable[..., ServiceEmbedding], tuple[str]]:
        """Pickle the name only."""
        return ServiceEmbedding, (self.model_name,)

    def _get_credential_kwargs(self, is_async: bool = False) -> dict[str, Any]:
        return {**super()._get_credential_kwargs(is_async), **_credentials(self.model_name)}


def make_llm(model: str, temperature: float) -> ServiceLLM:
    """Make a language model.

    Raises:
        ModelError: LlamaIndex knows that this model cannot chat.
    """
    try:
        return ServiceLLM(model, temperature)
    except ValueError as error:
        raise ModelError(f"cannot use 'openai:{model}': {' '.join(str(error).split())}") from error


def _credentials(model: str) -> dict[str, str]:
    return {"api_key": endpoint.key(f"openai:{model}"), "base_url": endpoint.base_url()}
