"""Own models by dotted path, and those of Hugging Face."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytuner import models
from raytuner.errors import ConfigError, ModelError
from raytuner.models import external
from raytuner.models.spec import ModelSpec, spec

MODULE = """
from llama_index.core import MockEmbedding
from llama_index.core.llms import MockLLM

class Embedding(MockEmbedding):
    pass

def make_llm(max_tokens=7):
    return MockLLM(max_tokens=max_tokens)

instance = MockLLM(max_tokens=2)
number = 5
"""


@pytest.fixture
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_models_for_tests.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


def own(name: str, **options: Any) -> ModelSpec:
    return spec("own", {"own": {"model": f"own_models_for_tests.{name}", "options": options}})


@pytest.mark.usefixtures("own_models")
def test_a_class_a_function_and_an_instance() -> None:
    assert len(models.embedding(own("Embedding", embed_dim=5)).get_query_embedding("x")) == 5
    assert models.llm(own("make_llm")).max_tokens == 7
    assert models.llm(own("make_llm", max_tokens=3)).complete("x").text == "text text text"
    assert models.llm(own("instance")).max_tokens == 2
    assert models.llm("own_models_for_tests.instance").max_tokens == 2


@pytest.mark.usefixtures("own_models")
@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (own("number"), "llm 'own' is a int, no LlamaIndex LLM: name such a class"),
        (own("Embedding", embed_dim=5), "llm 'own' is a Embedding, no LlamaIndex LLM"),
        (own("make_llm", depth=3), "'own' could not be made: TypeError: .*depth.*; see its options"),
    ],
)
def test_what_is_no_model_is_refused(found: ModelSpec, reason: str) -> None:
    with pytest.raises(ModelError, match=reason):
        models.llm(found)
    with pytest.raises(ModelError, match=reason):
        models.prepare([], [found])


@pytest.mark.usefixtures("own_models")
def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no 'make_lm'; did you mean 'make_llm'"):
        models.llm(own("make_lm"))
    with pytest.raises(ConfigError, match="there is no module 'nowhere'"):
        models.prepare(["nowhere.Embedding"], [])


def test_looking_imports_nothing() -> None:
    assert models.required(["nowhere.Embedding"], ["nowhere.LLM"]) == []
    assert models.describe("nowhere.LLM") == "by dotted path, not imported"


def test_a_missing_library_is_named() -> None:
    if external.missing_huggingface("embedding") is None:
        pytest.skip("huggingface is installed")
    (missing,) = models.required(["huggingface:a/b"], [])
    assert missing == (
        "huggingface:a/b",
        "llama-index-embeddings-huggingface is not installed",
        external.HUGGINGFACE_FIX,
    )
    with pytest.raises(ModelError, match=r"llama-index-llms-huggingface: pip install .raytuner\[huggingface\]"):
        models.prepare([], ["huggingface:a/b"])


def test_a_folder_is_known_by_its_names_and_contents(tmp_path: Path) -> None:
    def identity(name: str, files: dict[str, str], time: float = 0) -> str:
        folder = tmp_path / name
        for own, text in files.items():
            (folder / own).parent.mkdir(parents=True, exist_ok=True)
            (folder / own).write_text(text)
            os.utime(folder / own, (time, time))
        return external.folder_identity(folder)

    first = identity("a", {"config.json": "{}", "onnx/model": "12"})
    assert first == identity("copy", {"config.json": "{}", "onnx/model": "12"}, time=5)
    others = [{"config.json": "{}", "onnx/model": "13"}, {"config.json": "{}", "model": "12"}, {"config.json": "{}"}]
    found = {identity(f"other {number}", files) for number, files in enumerate(others)}
    assert len(found | {first}) == 4
    assert identity("a", {"config.json": "[]"}, time=7) != first
    assert external.folder_identity(tmp_path / "nowhere") == ""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of two layers with random weights, and a tokenizer of single bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(BPE({"</s>": 0, **{letter: i + 1 for i, letter in enumerate(alphabet)}}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(), decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>", pad_token="</s>")
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(alphabet) + 1, **sizes)).save_pretrained(folder)
    return folder


@pytest.mark.huggingface
@pytest.mark.timeout(300)
def test_generate_kwargs_go_to_the_model_with_the_temperature(tiny: Path) -> None:
    settings = {"model": f"huggingface:{tiny}", "options": {"generate_kwargs": {"top_p": 0.9}}}
    made = spec("tiny", {"tiny": settings})
    assert models.llm(made).generate_kwargs == {"do_sample": False, "top_p": 0.9}
    assert models.llm(made, temperature=0.5).generate_kwargs == {"do_sample": True, "temperature": 0.5, "top_p": 0.9}


@pytest.mark.huggingface
@pytest.mark.timeout(300)
def test_on_a_cpu_a_vector_does_not_depend_on_what_is_embedded_beside_it(tiny: Path) -> None:
    texts = ["one", "another text that is longer, so that the others are padded", "two words"]
    model = models.embedding(spec("hf", {"hf": {"model": f"huggingface:{tiny}", "options": {"device": "cpu"}}}))
    alone = [model.get_text_embedding_batch([text])[0] for text in texts]
    assert model.get_text_embedding_batch(texts) == alone
    assert model.get_text_embedding_batch(texts[::-1]) == alone[::-1]
    options = {"device": "cpu", "embed_batch_size": 3}
    chosen = models.embedding(spec("hf", {"hf": {"model": f"huggingface:{tiny}", "options": options}}))
    assert chosen.embed_batch_size == 3


@pytest.mark.huggingface
@pytest.mark.timeout(300)
def test_models_of_hugging_face(tiny: Path) -> None:
    settings = {"model": f"huggingface:{tiny}", "max_tokens": 8, "context_window": 256}
    llm = models.llm(spec("tiny", {"tiny": settings}))
    assert llm.metadata.context_window == 256
    assert llm.complete("a question").text == llm.complete("a question").text
    vectors = models.embedding(f"huggingface:{tiny}").get_text_embedding_batch(["one", "two", "one"])
    assert np.shape(vectors) == (3, 32)
    np.testing.assert_allclose(vectors[0], vectors[2], atol=1e-5)
    assert not np.allclose(vectors[0], vectors[1])
