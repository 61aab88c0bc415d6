from __future__ import annotations

import asyncio
import hashlib
import itertools
import pickle
import random
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raytuner import models
from raytuner.errors import ModelError
from raytuner.models import local, minilm

SENTENCE = "retrieval chunk of a long document answers some question about the tuning and its cost in tokens"
WORDS = SENTENCE.split()
LONG = " ".join(WORDS[i * i % len(WORDS)] for i in range(600))
TEXTS = [
    "What is a chunk?",
    "",
    LONG,
    "Ein Satz auf Deutsch, mit Umlauten: äöü.",
    "a",
    " ".join(WORDS * 5),
    "b c " * 254,
]

DIGEST = """
import hashlib, json, sys
from raytuner import models
print(hashlib.sha256(models.embedding("minilm").encode(json.load(sys.stdin)).tobytes()).hexdigest())
"""

pytestmark = pytest.mark.usefixtures("full_cache")


@pytest.fixture(scope="module")
def vectors(pulled):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAYTUNER_CACHE", str(pulled.cache))
        return models.embedding("minilm").encode(TEXTS)


def by_hand(windows):
    """The definition, written out: mean over tokens, weighed by content tokens, length 1."""
    model = minilm._model()
    total = np.zeros(384)
    for window in windows:
        ids = np.array([[101, *window, 102]])
        feed = {"input_ids": ids, "attention_mask": ids * 0 + 1, "token_type_ids": ids * 0}
        total += len(window) * model.session.run(None, feed)[0][0].astype(np.float64).sum(axis=0) / ids.size
    return total / np.linalg.norm(total)


def tokens(text):
    return minilm._model().tokenizer.encode(text, add_special_tokens=False).ids


def test_shape_and_length(vectors):
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_text_alone_has_the_same_bits(vectors):
    embedding = models.embedding("minilm")
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert np.array_equal(embedding.encode([text])[0], vector)


@pytest.mark.parametrize("count", ["1", "2", "7"])
def test_order_company_and_threads_do_not_matter(vectors, monkeypatch, count):
    monkeypatch.setenv("OMP_NUM_THREADS", count)
    order = list(range(len(TEXTS))) * 2
    random.Random(int(count)).shuffle(order)
    assert np.array_equal(models.embedding("minilm").encode([TEXTS[i] for i in order]), vectors[order])


def test_another_process_gives_the_same_bits(vectors):
    import json

    run = subprocess.run(
        [sys.executable, "-c", DIGEST], input=json.dumps(TEXTS), capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == hashlib.sha256(vectors.tobytes()).hexdigest()


def test_equal_texts_are_embedded_once(monkeypatch):
    calls = []
    monkeypatch.setattr(minilm, "_means", lambda windows: calls.append(len(windows)) or [np.ones(384)] * len(windows))
    assert models.embedding("minilm").encode(["x", "y", "x", "x"]).shape == (4, 384)
    assert calls == [2]


def test_long_texts_are_pooled_by_tokens(vectors):
    ids = tokens(LONG)
    assert len(ids) > 2 * minilm.WINDOW
    windows = minilm.split(ids)
    assert len(windows) == 3
    np.testing.assert_allclose(vectors[TEXTS.index(LONG)], by_hand(windows), atol=1e-6)


def test_uneven_windows_weigh_by_their_tokens():
    means = [np.array([1.0, 0.0]), np.array([0.0, 1.0])]
    pooled = minilm._pool([[1] * 3, [1] * 4], means)
    np.testing.assert_allclose(pooled, [0.6, 0.8], atol=1e-7)


def test_short_texts_are_the_plain_mean(vectors):
    np.testing.assert_allclose(vectors[0], by_hand([tokens(TEXTS[0])]), atol=1e-6)


def test_truncation_sees_the_beginning_only():
    truncate, windows = (models.embedding("minilm", long_text=way) for way in ("truncate", "windows"))
    tail = LONG + " and something else altogether"
    cut = truncate.encode([LONG, tail])
    np.testing.assert_allclose(cut[0], by_hand([tokens(LONG)[:254]]), atol=1e-6)
    assert np.array_equal(cut[0], cut[1])
    pooled = windows.encode([LONG, tail])
    assert not np.allclose(pooled[0], pooled[1])
    assert not np.allclose(pooled[0], cut[0])


def test_the_window_ends_after_254_tokens():
    fits, longer = "chunk " * 254, "chunk " * 255
    embedding, truncate = models.embedding("minilm"), models.embedding("minilm", long_text="truncate")
    assert [len(tokens(text)) for text in (fits, longer)] == [254, 255]
    assert np.array_equal(embedding.encode([fits]), truncate.encode([fits]))
    assert not np.array_equal(embedding.encode([longer]), truncate.encode([longer]))
    assert embedding.window == 254
    assert embedding.cut_share([fits, longer, "", "a"]) == 0.25
    assert embedding.cut_share([]) == 0.0


@given(st.integers(0, 2000))
def test_windows_are_nearly_equal_and_lose_nothing(length):
    windows = minilm.split(list(range(length)))
    sizes = [len(window) for window in windows]
    assert list(itertools.chain.from_iterable(windows)) == list(range(length))
    assert len(windows) == max(1, -(-length // 254))
    assert max(sizes) <= 254
    assert max(sizes) - min(sizes) <= 1


def test_a_paraphrase_is_closer():
    embedding = models.embedding("minilm")
    question, paraphrase, other = embedding.encode(
        ["How can I reset my password?", "Steps to recover account access", "The cake needs four eggs and flour"]
    )
    assert question @ paraphrase > question @ other + 0.2


def test_llamaindex_methods_agree(vectors):
    embedding = models.embedding("minilm")
    text, vector = TEXTS[3], vectors[3].tolist()
    assert embedding.get_text_embedding(text) == vector
    assert embedding.get_query_embedding(text) == vector
    assert embedding.get_text_embedding_batch(TEXTS) == vectors.tolist()
    assert asyncio.run(embedding.aget_query_embedding(text)) == vector
    assert asyncio.run(embedding.aget_text_embedding(text)) == vector
    assert asyncio.run(embedding.aget_text_embedding_batch(TEXTS)) == vectors.tolist()
    assert embedding.encode([]).shape == (0, 384)


def test_pickles_are_small_and_work(vectors):
    embedding = models.embedding("minilm", long_text="truncate")
    embedding.encode(["loads the weights"])
    data = pickle.dumps(embedding)
    assert len(data) < 500
    copy = pickle.loads(data)
    assert copy.long_text == "truncate"
    assert np.array_equal(copy.encode(TEXTS[:1]), vectors[:1])


@pytest.mark.parametrize(("value", "expected"), [("3", 3), ("1", 1), ("0", 5), ("-2", 5), ("4,2", 5), ("", 5)])
def test_threads_follow_the_environment(monkeypatch, value, expected):
    monkeypatch.setattr("os.cpu_count", lambda: 5)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert local.threads() == expected


def test_weights_load_once_when_threads_ask_at_once():
    from concurrent.futures import ThreadPoolExecutor

    loads = []

    def slow():
        loads.append(1)
        time.sleep(0.05)
        return object()

    load = local.once(slow)
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: load(), range(8)))) == 1
    assert loads == [1]


def test_wrong_options_are_refused():
    with pytest.raises(ModelError, match="long_text is 'window'; did you mean 'windows'"):
        models.embedding("minilm", long_text="window")
    with pytest.raises(ModelError, match=r"unknown option 'longtext' .* did you mean 'long_text'"):
        models.embedding("minilm", longtext="windows")
    with pytest.raises(ModelError, match="unknown embedding model 'mini-lm'; did you mean 'minilm'"):
        models.embedding("mini-lm")


def test_identities_change_with_what_changes_the_vectors():
    windows, truncate = (models.embedding_identity("minilm", way) for way in ("windows", "truncate"))
    assert windows != truncate
    assert all(wheel.sha256 in windows for wheel in minilm.MINILM.wheels)
    with pytest.raises(ModelError, match="long_text is 'cut'"):
        models.embedding_identity("minilm", "cut")


def test_a_new_pooling_version_changes_the_identity(monkeypatch):
    before = models.embedding_identity("minilm", "windows")
    monkeypatch.setattr("raytuner.models.factory._EMBEDDING_VERSION", 99)
    assert models.embedding_identity("minilm", "windows") != before
