"""NLTK data that NLTK is willing to read."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from functools import cache
from importlib.metadata import version
from pathlib import Path

from raytuner.errors import UserError
from raytuner.folders import cache_folder


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
    copy = cache_folder() / f"nltk_data-{version('llama-index-core')}"
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
    try:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(dir=target.parent)
    except OSError as error:
        reason = f"{target.parent}: {error.strerror}"
        raise UserError(f"{reason}; set RAYTUNER_CACHE to a folder that can be written") from None
    with folder as scratch:
        complete = shutil.copytree(source, Path(scratch) / target.name)
        try:
            complete.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was faster
                raise
