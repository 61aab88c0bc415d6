"""What names stand for, where keys go, and what is in cache keys."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from raytuner import models
from raytuner.errors import ConfigError, ModelError
from raytuner.models import ModelSpec, endpoint, factory
from raytuner.models.mock import MockLLM
from raytuner.models.spec import named, resolved, spec, table_of

URL = "http://localhost:8000/v1"
LOCAL = {"local": {"model": "openai-like:qwen", "base_url": URL, "context_window": 8192}}


def service(**settings: Any) -> ModelSpec:
    return spec("s", {"s": {"model": "openai-like:m", "base_url": URL, **settings}})


def test_a_name_stands_for_its_entry_else_for_itself() -> None:
    found = spec("local", LOCAL)
    assert (found.name, found.kind, found.served_name, found.context_window) == ("local", "openai-like", "qwen", 8192)
    assert spec("mock", LOCAL) == ModelSpec("mock", "mock")
    assert spec("smollm2", {"smollm2": {"max_tokens": 9}}).model == "smollm2"
    assert hash(found) == hash(spec("local", LOCAL)) == hash(pickle.loads(pickle.dumps(found)))
    assert str(found) == "local"


@pytest.mark.parametrize(
    ("model", "kind"),
    [("openai:a:b", "openai"), ("my.own.Model", "dotted"), ("gpt-4.1", "gpt-4.1"), ("openai:", ""), ("a:b", "a")],
)
def test_kinds(model: str, kind: str) -> None:
    assert spec(model).kind == kind


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"modell": "mock"}, "models.x: unknown key 'modell'; did you mean 'model'"),
        ({"context_window": "8"}, "models.x.context_window: '8' is not allowed; it should be a valid integer"),
        ({"max_tokens": 0}, "models.x.max_tokens: 0 is not allowed"),
        ({"options": {"a": float("nan")}}, "models.x.options: only what JSON can hold"),
    ],
)
def test_wrong_settings_are_refused(entry: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        table_of({"x": entry})


def test_extractive_cannot_be_renamed() -> None:
    with pytest.raises(ConfigError, match=r"models\.extractive"):
        table_of({"extractive": {"model": "mock"}})


@pytest.mark.parametrize("name", ["minilm", "wordllama", "smollm2", "mock", "openai:gpt-4o", "huggingface:a/b"])
def test_a_name_that_is_a_model_stands_for_no_other(name: str) -> None:
    for entry in ({"model": "openai-like:m", "base_url": URL}, MockLLM()):
        with pytest.raises(
            ConfigError, match=rf"models\.{name}: that is a model that is built in; choose another name"
        ):
            table_of({name: entry})
    assert (
        table_of({name: {"max_tokens": 9}})[name].max_tokens
        == table_of({name: {"model": name, "max_tokens": 9}})[name].max_tokens
        == 9
    )


def test_objects_get_names_and_are_found_again() -> None:
    first, second, table = MockLLM(), MockLLM(), {}
    assert named({"llm": first, "top_k": 3}, table) == {"llm": "MockLLM", "top_k": 3}
    assert named({"llm": second}, table) == {"llm": "MockLLM-2"}
    assert named({"llm": first}, table) == {"llm": "MockLLM"}
    assert resolved({"llm": "MockLLM-2"}, table)["llm"].component is second
    assert resolved({"llm": "extractive", "top_k": 1}, table) == {"llm": "extractive", "top_k": 1}


def test_an_object_is_known_by_identity_and_through_pickles() -> None:
    llm = MockLLM()
    found = spec(llm)
    again = pickle.loads(pickle.dumps(found))
    assert spec(llm) == found == again
    assert models.llm_identity(again) == models.llm_identity(found)
    assert models.llm_identity(spec(MockLLM())) != models.llm_identity(found)
    assert spec(copy.copy(llm)) != found


def test_a_repr_shows_no_component() -> None:
    from llama_index.llms.openai import OpenAI

    found = spec(OpenAI(api_key="sk-0123456789"))
    assert (repr(found), str(found)) == ("ModelSpec('OpenAI')", "OpenAI")


def test_identities_hold_what_changes_results() -> None:
    base = models.llm_identity(service())
    assert base == f"openai-like:m@{URL}"
    for changed in ({"context_window": 9}, {"max_tokens": 9}, {"version": "2"}, {"base_url": "http://other/v1"}):
        assert models.llm_identity(service(**changed)) != base
    for same in ({"timeout": 9.0}, {"api_key_env": "MINE"}):
        assert models.llm_identity(service(**same)) == base
    own = [
        spec("o", {"o": {"model": "my.Own", "options": options}}) for options in ({"a": 1, "b": 2}, {"b": 2, "a": 1})
    ]
    assert len({models.embedding_identity(o, "windows") for o in own}) == 1
    assert models.embedding_identity(own[0], "windows") != models.embedding_identity("my.Own", "windows")
    assert models.llm_identity("smollm2") != models.llm_identity(
        spec("s", {"s": {"model": "smollm2", "max_tokens": 9}})
    )


def test_which_key_goes_where(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-user")
    monkeypatch.setenv("MINE", "sk-mine")
    openai = spec("o", {"o": {"model": "openai:m", "base_url": "https://stranger.example/v1"}})
    assert endpoint.key(spec("openai:m")) == "sk-user"
    assert endpoint.key(openai) == endpoint.key(service()) == endpoint.NO_KEY
    assert endpoint.key(service(api_key_env="MINE")) == "sk-mine"
    monkeypatch.delenv("MINE")
    with pytest.raises(ModelError, match="'s' needs a key: set the environment variable MINE"):
        endpoint.key(service(api_key_env="MINE"))


@pytest.mark.parametrize(
    "url",
    ["https://stranger.example/v1", "https://api.openai.com.stranger.example/v1", "http://10.0.0.1/v1"],
)
def test_the_openai_key_goes_to_no_stranger(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    named_key = service(base_url=url, api_key_env="OPENAI_API_KEY")
    with pytest.raises(ModelError, match="OPENAI_API_KEY is not sent to"):
        models.llm_identity(named_key)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    models.llm_identity(named_key)


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "http://localhost:1/v1", "http://127.0.0.2/v1"])
def test_the_openai_key_goes_to_openai_and_this_machine(url: str) -> None:
    endpoint.check(service(base_url=url, api_key_env="OPENAI_API_KEY"))


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000/v1",
        "ftp://host/v1",
        "https://user:password@host/v1",
        "https://api.openai.com@stranger.example/v1",
        "https://stranger.example\\@api.openai.com/v1",
        "https://host/v1?key=1",
        "https:///v1",
    ],
)
def test_odd_addresses_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ModelError, match=r"models\.s\.base_url must be like") as caught:
        models.embedding_identity(service(base_url=url), "windows")
    assert url not in str(caught.value)


def test_an_openai_like_model_needs_its_address() -> None:
    with pytest.raises(ModelError, match=r"'openai-like:qwen' needs its address: write models: .* base_url"):
        models.llm("openai-like:qwen")


def test_places() -> None:
    described = {name: models.describe(spec(name, LOCAL)) for name in ("local", "openai:m", "my.Own", "minilm", "mock")}
    assert described == {
        "local": f"openai-like:qwen at {URL}, no key",
        "openai:m": "at https://api.openai.com/v1, key from OPENAI_API_KEY",
        "my.Own": "by dotted path, not imported",
        "minilm": None,
        "mock": None,
    }
    assert models.describe(spec(MockLLM())) == "a Python object"


def test_a_folder_with_a_model_is_known_by_the_contents_of_its_files(tmp_path: Path) -> None:
    def identity() -> str:
        return models.embedding_identity(f"huggingface:{tmp_path}", "windows")

    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"weights")
    first = identity()
    assert identity() == first
    (tmp_path / "onnx" / "model.onnx").write_bytes(b"weights 2")
    second = identity()
    os.utime(tmp_path / "config.json", (1, 1))
    assert first != second == identity()
    assert models.embedding_identity("huggingface:none/such", "windows").startswith("huggingface:none/such/")


@pytest.mark.parametrize(
    ("model", "role", "package"),
    [
        ("minilm", "embedding", "onnxruntime"),
        ("minilm", "embedding", "tokenizers"),
        ("wordllama", "embedding", "tokenizers"),
        ("huggingface:a/b", "embedding", "sentence-transformers"),
        ("huggingface:a/b", "embedding", "torch"),
        ("huggingface:a/b", "llm", "transformers"),
        ("huggingface:a/b", "llm", "torch"),
        ("smollm2", "llm", "xllamacpp"),
    ],
)
def test_a_library_that_runs_a_model_is_in_its_identity(
    monkeypatch: pytest.MonkeyPatch, model: str, role: str, package: str
) -> None:
    def identity() -> str:
        return models.llm_identity(model) if role == "llm" else models.embedding_identity(model, "windows")

    before, installed = identity(), factory.installed_version
    assert f"{package}={installed(package)}" in before
    monkeypatch.setattr(factory, "installed_version", lambda name: "9" if name == package else installed(name))
    assert identity() != before
