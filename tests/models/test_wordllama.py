from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest

from raytuner import models
from raytuner.models import wordllama

TEXTS = ["What is a chunk?", "", "Ein Satz, äöü, 漢字 🙂", "retrieval of a long document " * 300, "a"]

DIGEST = """
import hashlib, json, sys
from raytuner import models
print(hashlib.sha256(models.embedding("wordllama").encode(json.load(sys.stdin)).tobytes()).hexdigest())
"""

pytestmark = pytest.mark.usefixtures("full_cache")


@pytest.fixture
def embedding():
    return models.embedding("wordllama")


def test_shape_and_length(embedding):
    vectors = embedding.encode(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((5, 256), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 1, 1, 1], atol=1e-6)
    assert embedding.encode([]).shape == (0, 256)


def test_a_vector_is_the_mean_of_the_token_vectors(embedding):
    model = wordllama._model()
    ids = model.tokenizer.encode(TEXTS[0], add_special_tokens=False).ids
    mean = np.mean([model.table[i].astype(np.float64) for i in ids], axis=0)
    np.testing.assert_allclose(embedding.encode(TEXTS[:1])[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_order_and_company_do_not_matter(embedding):
    vectors = embedding.encode(TEXTS)
    assert np.array_equal(embedding.encode(TEXTS[::-1] + TEXTS), np.concatenate([vectors[::-1], vectors]))
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert np.array_equal(embedding.encode([text])[0], vector)


def test_another_process_gives_the_same_bits(embedding, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    run = subprocess.run(
        [sys.executable, "-c", DIGEST], input=json.dumps(TEXTS), capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == hashlib.sha256(embedding.encode(TEXTS).tobytes()).hexdigest()


def test_a_paraphrase_is_closer(embedding):
    question, paraphrase, other = embedding.encode(
        ["How can I reset my password?", "resetting a forgotten password", "The cake needs four eggs and flour"]
    )
    assert question @ paraphrase > question @ other + 0.2


def test_it_has_no_window(embedding):
    assert embedding.window is None
    assert embedding.cut_share(TEXTS) == 0.0
    truncate = models.embedding("wordllama", long_text="truncate")
    assert np.array_equal(truncate.encode(TEXTS), embedding.encode(TEXTS))
    assert models.embedding_identity("wordllama", "truncate") == models.embedding_identity("wordllama", "windows")


def test_pickles_are_small_and_work(embedding):
    vectors = embedding.encode(TEXTS)
    data = pickle.dumps(embedding)
    assert len(data) < 500
    assert np.array_equal(pickle.loads(data).encode(TEXTS), vectors)


def test_llamaindex_methods_agree(embedding):
    vectors = embedding.encode(TEXTS).tolist()
    assert embedding.get_text_embedding_batch(TEXTS) == vectors
    assert embedding.get_query_embedding(TEXTS[0]) == vectors[0]
