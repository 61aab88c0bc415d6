"""Whether an LLM samples its answers."""

from __future__ import annotations

from typing import Any

import pytest
from llama_index.core.base.llms.types import CompletionResponse, CompletionResponseGen, LLMMetadata
from llama_index.core.llms import CustomLLM
from llama_index.core.llms import MockLLM as Echo
from llama_index.llms.openai import OpenAI

from raytuner import models
from raytuner.errors import ModelError
from raytuner.models import ModelSpec
from raytuner.models.mock import MockLLM
from raytuner.models.spec import spec

URL = "http://localhost:8000/v1"


class Own(CustomLLM):
    """An LLM as a user writes one, with settings that LlamaIndex knows nothing of."""

    temperature: float | None = None
    generate_kwargs: dict[str, Any] | None = None
    additional_kwargs: dict[str, Any] | None = None

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata()

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        raise NotImplementedError

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        raise NotImplementedError


def is_sampled(model: str | ModelSpec, temperature: float = 0.0) -> bool:
    return models.is_sampled(model, temperature, lambda: models.llm(model, temperature=temperature))


def dotted(**options: Any) -> ModelSpec:
    return spec("own", {"own": {"model": f"{__name__}.Own", "options": options}})


def huggingface(**options: Any) -> ModelSpec:
    return spec("hf", {"hf": {"model": "huggingface:a/b", "options": options}})


@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"temperature": 0}, False),
        ({"temperature": 0.7}, True),
        ({"temperature": None}, True),
        ({}, True),
        ({"generate_kwargs": {"temperature": 0.2}, "temperature": 0}, True),
        ({"additional_kwargs": {"temperature": 0}, "temperature": 0.7}, False),
        ({"generate_kwargs": {"do_sample": False, "temperature": 0.2}}, False),
        ({"generate_kwargs": {"do_sample": True}, "temperature": 0}, True),
        ({"generate_kwargs": {"top_p": 0.9}}, True),
    ],
)
def test_of_an_own_llm_only_its_own_settings_count(options: dict[str, Any], expected: bool, temperature: float) -> None:
    assert is_sampled(dotted(**options), temperature) == is_sampled(spec(Own(**options)), temperature) == expected


def test_an_llm_that_shows_no_temperature_is_taken_to_sample() -> None:
    assert is_sampled(spec(Echo()))
    assert is_sampled(spec(OpenAI(api_key="none", temperature=0.1)))
    assert not is_sampled(spec(OpenAI(api_key="none", temperature=0)))


def test_the_mock_never_samples() -> None:
    assert not is_sampled("mock", 0.7)
    assert not is_sampled(spec(MockLLM()))


def test_a_service_samples_at_the_pipelines_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    served = spec("s", {"s": {"model": "openai-like:m", "base_url": URL}})
    assert [is_sampled(served, temperature) for temperature in (0.0, 0.7)] == [False, True]
    assert [is_sampled("smollm2", temperature) for temperature in (0.0, 0.7)] == [False, True]
    assert not is_sampled("openai:gpt-4o-mini")
    assert is_sampled("openai:o1")  # it takes no temperature but 1


@pytest.mark.parametrize(
    ("options", "at_0", "at_7"),
    [
        ({}, False, True),
        ({"generate_kwargs": {"top_p": 0.9}}, False, True),
        ({"generate_kwargs": {"temperature": 0.3}}, True, True),
        ({"generate_kwargs": {"temperature": 0}}, False, False),
        ({"generate_kwargs": {"do_sample": True}}, True, True),
        ({"generate_kwargs": {"do_sample": False}}, False, False),
    ],
)
def test_a_model_of_hugging_face_is_known_without_its_weights(options: dict[str, Any], at_0: bool, at_7: bool) -> None:
    def never() -> None:
        pytest.fail("the weights would be loaded")

    found = [models.is_sampled(huggingface(**options), temperature, never) for temperature in (0.0, 0.7)]
    assert found == [at_0, at_7]


def test_what_may_sample_is_known_without_making_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: Any, **kwargs: Any) -> None:
        pytest.fail("a model would be made")

    monkeypatch.setattr(models.factory.external, "llm", never)
    known = [huggingface(), spec(Own(temperature=0)), spec("s", {"s": {"model": "openai-like:m", "base_url": URL}})]
    assert [[models.may_sample(model, at) for at in (0.0, 0.7)] for model in known] == [
        [False, True],
        [False, False],
        [False, True],
    ]
    assert models.may_sample(dotted(temperature=0), 0.0)  # its code would have to run
    assert not models.may_sample("mock", 0.7)


def test_generate_kwargs_are_a_mapping() -> None:
    with pytest.raises(ModelError, match="'hf': generate_kwargs is 3; it must be a mapping"):
        is_sampled(huggingface(generate_kwargs=3))
