"""Whether an LLM samples its answers: only those of one that does not are shared between trials unasked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from raytuner.models import external
from raytuner.models.factory import check_llm
from raytuner.models.spec import ModelSpec

_SETTINGS = ("additional_kwargs", "generate_kwargs")
"""Where LlamaIndex's LLMs keep settings that go before their own."""


def is_sampled(model: str | ModelSpec, temperature: float, made: Callable[[], Any]) -> bool:
    """Whether an LLM may answer the same question otherwise each time it is asked.

    The LLM's own settings decide: it need not follow the pipeline's temperature. One that shows neither a temperature
    nor ``do_sample`` is taken to sample.

    Args:
        model: As for `raytuner.models.llm`.
        temperature: Likewise.
        made: Gives the LLM that `raytuner.models.llm` makes of them; not called where that would load weights only to
            look at settings.

    Raises:
        ModelError: There is no such model.
    """
    spec = check_llm(model)
    settings = external.generation(spec, temperature) if spec.kind == "huggingface" else _settings(made())
    if "do_sample" in settings:
        return bool(settings["do_sample"])
    own = settings.get("temperature")
    return not isinstance(own, (int, float)) or own > 0


def may_sample(model: str | ModelSpec, temperature: float) -> bool:
    """What `is_sampled` will say, as far as is known without making the LLM: one of the user's own may sample.

    Args:
        model: As for `raytuner.models.llm`.
        temperature: Likewise.

    Raises:
        ModelError: There is no such model.
    """
    spec = check_llm(model)
    if spec.kind in ("huggingface", "object"):
        return is_sampled(model, temperature, lambda: spec.component)
    return spec.kind == "dotted" or (spec.kind != "mock" and temperature > 0)


def _settings(llm: Any) -> Mapping[str, Any]:
    """The temperature of a LlamaIndex LLM, and what it adds to its requests."""
    found = {"temperature": getattr(llm, "temperature", None)}
    for name in _SETTINGS:
        added = getattr(llm, name, None)
        found |= added if isinstance(added, Mapping) else {}
    return found
