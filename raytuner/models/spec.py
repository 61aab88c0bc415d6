"""What a name in a configuration stands for: a model, where it is, and how it is made."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from raytuner.calls.prices import Price
from raytuner.components import canonical, is_dotted
from raytuner.errors import ConfigError, declare_secret, nearest
from raytuner.models.wheels import REGISTRY

PARAMETERS = ("embedding", "llm")
"""The parameters of a pipeline that name a model."""

_EXTRACTIVE = "extractive"


_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class PriceSettings(BaseModel):
    """What a model's tokens cost, in US dollars for a million.

    Attributes:
        input: Of prompts, or of texts to embed.
        output: Of answers.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    input: float = Field(ge=0, allow_inf_nan=False)
    output: float = Field(default=0.0, ge=0, allow_inf_nan=False)


class ModelSettings(BaseModel):
    """One entry of the section ``models`` of a config.

    Attributes:
        model: A built-in model, ``openai:MODEL``, ``openai-like:MODEL``, ``huggingface:NAME`` or a dotted path;
            by default the name of the entry.
        base_url: The address of a service.
        api_key_env: The variable whose value is sent to the service as its key.
        context_window: Tokens of prompt and answer together.
        max_tokens: The most tokens of an answer.
        timeout: Seconds to wait for an answer.
        retries: How often a request that failed is made again.
        concurrency: The most calls of its address at once, of all trials together.
        requests_per_minute: The most calls of its address in any minute.
        tokens_per_minute: The most tokens that they may take.
        price: What its tokens cost.
        batch: Whether judges and the generation of questions ask through OpenAI's Batch API.
        options: The arguments of a dotted path's constructor, or of the Hugging Face class.
        version: To be raised whenever an own model gives other results.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    model: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    context_window: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    timeout: float | None = Field(default=None, gt=0)
    retries: int | None = Field(default=None, ge=0, le=100)
    concurrency: int | None = Field(default=None, ge=1)
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)
    price: PriceSettings | None = None
    batch: bool = False
    options: dict[str, Any] = Field(default_factory=dict)
    version: str | None = None


@dataclass(frozen=True, repr=False)
class ModelSpec:
    """A model as a configuration describes it; equal specs are the same model.

    Attributes:
        name: What the configuration calls it.
        model: ``minilm``, ``wordllama``, ``smollm2``, ``mock``, ``openai:MODEL``, ``openai-like:MODEL``,
            ``huggingface:NAME`` or a dotted path; empty for a Python object.
        base_url: The address of a service; None is that of the environment, or OpenAI's own.
        api_key_env: The variable whose value is sent to the service as its key.
        context_window: Tokens of prompt and answer together; None leaves it to the model.
        max_tokens: The most tokens of an answer; None leaves it to the model.
        timeout: Seconds to wait for an answer; None is the default of the kind of model.
        retries: How often a request that failed is made again.
        concurrency: The most calls of its address at once.
        requests_per_minute: The most calls of its address in any minute.
        tokens_per_minute: The most tokens that they may take.
        price: What its tokens cost, if the config says it.
        batch: Whether judges and the generation of questions ask through OpenAI's Batch API.
        options: The arguments of a dotted path's constructor, as canonical JSON.
        version: Raised by the user whenever an own model gives other results.
        token: What a Python object is known by: the same for the same object.
        component: The Python object.
        others: The names of the table in which the name was not found, for messages.
    """

    name: str
    model: str = ""
    base_url: str | None = None
    api_key_env: str | None = None
    context_window: int | None = None
    max_tokens: int | None = None
    timeout: float | None = None
    retries: int | None = None
    concurrency: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    price: Price | None = None
    batch: bool = False
    options: str = "{}"
    version: str | None = None
    token: str = ""
    component: Any = field(default=None, compare=False)
    others: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if self.api_key_env is not None:
            declare_secret(self.api_key_env)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"ModelSpec({self.name!r})"  # not the component, whose repr may show its key

    @property
    def kind(self) -> str:
        """``openai``, ``openai-like``, ``huggingface``, ``dotted``, ``object``, or the name of a built-in model."""
        prefix, colon, rest = self.model.partition(":")
        if self.component is not None:
            return "object"
        if colon:
            return prefix if rest else ""
        return "dotted" if is_dotted(self.model) else self.model

    @property
    def served_name(self) -> str:
        """The model's name at its service: what follows the colon, else the whole."""
        return self.model.partition(":")[2] or self.model

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of a dotted path's constructor."""
        found: dict[str, Any] = json.loads(self.options)
        return found

    def settings(self, *names: str) -> str:
        """What of some settings is set, for keys: ``#`` and canonical JSON, or nothing."""
        found = {name: getattr(self, name) for name in names if getattr(self, name) not in (None, "{}")}
        return f"#{json.dumps(found, sort_keys=True)}" if found else ""


def spec(name: Any, table: Mapping[str, Any] | None = None) -> ModelSpec:
    """Find what a name stands for.

    Args:
        name: A name of `table`, else of a model; or a LlamaIndex model.
        table: For each name a mapping of settings, a `ModelSpec` or a LlamaIndex model.

    Raises:
        ConfigError: A setting is unknown or of the wrong type.
    """
    if isinstance(name, ModelSpec):
        return name
    if not isinstance(name, str):
        return _of_object(getattr(name, "__name__", type(name).__name__), name)
    entry = (table or {}).get(name)
    if entry is None:
        return ModelSpec(name, name, others=tuple(table or ()))
    if isinstance(entry, ModelSpec):
        return entry
    return _of_settings(name, entry) if isinstance(entry, Mapping) else _of_object(name, entry)


def table_of(models: Mapping[str, Any] | None) -> dict[str, ModelSpec]:
    """The specs of a whole table.

    Raises:
        ConfigError: A name is that of another model, or a setting is unknown or of the wrong type.
    """
    if _EXTRACTIVE in (models or {}):
        raise ConfigError(f"models.{_EXTRACTIVE}: the name stands for answers without a model; choose another")
    found = {name: spec(name, models) for name in models or {}}
    for name, own in found.items():
        if own.model != name and _is_taken(name):
            raise ConfigError(f"models.{name}: that is a model that is built in; choose another name")
    return found


def _is_taken(name: str) -> bool:
    """Whether a name means a model without any table; settings of that very model may stand under it."""
    return name in (*REGISTRY, "mock") or name.partition(":")[0] in ("openai", "openai-like", "huggingface")


def named(params: Mapping[str, Any], table: dict[str, ModelSpec]) -> dict[str, Any]:
    """Parameters with names in place of LlamaIndex models, which are added to the table.

    Args:
        params: Parameters of a pipeline.
        table: What names stand for; objects get the names of their classes.
    """
    found = dict(params)
    for parameter in PARAMETERS:
        value = params.get(parameter)
        if _is_model(value):
            added = spec(value)
            name, number = added.name, 1
            while table.setdefault(name, added) != added:
                number += 1
                name = f"{added.name}-{number}"
            found[parameter] = name
    return found


def resolved(params: Mapping[str, Any], table: Mapping[str, ModelSpec]) -> dict[str, Any]:
    """Parameters with specs in place of the names of models, as the stages of a pipeline take them.

    Args:
        params: Parameters of a pipeline.
        table: What names stand for.
    """
    found = dict(params)
    for parameter in PARAMETERS:
        value = params.get(parameter)
        if _is_model(value) or (isinstance(value, str) and table and value != _EXTRACTIVE):
            found[parameter] = spec(value, table)
    return found


def _is_model(value: Any) -> bool:
    """Whether a value is a LlamaIndex embedding model or LLM; LlamaIndex need not be imported to know."""
    return hasattr(value, "get_text_embedding_batch") or hasattr(value, "acomplete")


def _of_settings(name: str, settings: Mapping[str, Any]) -> ModelSpec:
    variable = settings.get("api_key_env")
    if isinstance(variable, str) and not _VARIABLE.fullmatch(variable):  # not quoted: it may be the key itself
        raise ConfigError(f"models.{name}.api_key_env names the variable that holds the key, e.g. MY_KEY; not the key")
    try:
        found = ModelSettings.model_validate(dict(settings)).model_dump(exclude_none=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise ConfigError(
                f"models.{name}: unknown key {key!r}; {nearest(key, ModelSettings.model_fields)}"
            ) from None
        reason = first["msg"].removeprefix("Input should be ")
        raise ConfigError(f"models.{name}.{key}: {first['input']!r} is not allowed; it should be {reason}") from None
    options = canonical(found.pop("options"), f"models.{name}.options")
    if "price" in found:
        found["price"] = Price(**found["price"])
    return ModelSpec(name, **{"model": name, **found}, options=options)


_tokens: dict[int, tuple[Any, str]] = {}  # the object is kept, or another could get its id


def _of_object(name: str, component: Any) -> ModelSpec:
    _, token = _tokens.setdefault(id(component), (component, uuid.uuid4().hex))
    return ModelSpec(name, component=component, token=token)
