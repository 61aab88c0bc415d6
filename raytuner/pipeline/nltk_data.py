"""NLTK data that NLTK is willing to read."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path

import platformdirs


@cache
def use_readable_nltk_data() -> None:
    """Point NLTK_DATA to a copy of LlamaIndex's bundled data if the original is hard-linked.

    NLTK refuses files with several hard links, and uv installs packages by hard links by default,
    so LlamaIndex's sentence splitter would fail there. Must run before LlamaIndex first looks for the data.
    """
    if "NLTK_DATA" in os.environ:
        return
    bundled = _bundled_data()
    if bundled is None or not any(p.stat().st_nlink > 1 for p in bundled.rglob("*") if p.is_file()):
        return
    cache_folder = Path(os.environ.get("RAYTUNER_CACHE") or platformdirs.user_cache_path("raytuner"))
    copy = cache_folder / "nltk_data"
    if not copy.is_dir():
        _copy_tree(bundled, copy)
    os.environ["NLTK_DATA"] = str(copy)


def _bundled_data() -> Path | None:
    spec = importlib.util.find_spec("llama_index.core")
    for location in (spec.submodule_search_locations if spec else None) or ():
        folder = Path(location) / "_static" / "nltk_cache"
        if folder.is_dir():
            return folder
    return None


def _copy_tree(source: Path, target: Path) -> None:
    """Copy a folder so that another process never sees half of it."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        complete = shutil.copytree(source, Path(scratch) / "nltk_data")
        try:
            complete.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise
