"""Runs to report on, and a browser to look at pages with."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[1] / "benchmarks"))


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with stopped, failed and confirmed trials."""
    from made_run import make_run

    return make_run(tmp_path_factory.mktemp("runs") / "made", trials=26, stopped=[3, 9], failed=[5])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; the distribution's, since test tools download theirs from elsewhere.

    While it is there an event loop runs in this thread, so it ends with the module.
    """
    from playwright.sync_api import sync_playwright

    binary = shutil.which("chromium")
    assert binary is not None, "chromium is missing; apt-get install chromium"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        yield started
        started.close()
