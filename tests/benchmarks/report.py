"""How long the report of a large run takes, how large it is, and how soon a browser has drawn it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
from made_run import make_run

MOST_SECONDS, MOST_MEGABYTES = 10.0, 5.0


def measured(trials: int) -> dict[str, Any]:
    """The figures of a run of so many trials."""
    with common.cold_cache() as cache, tempfile.TemporaryDirectory() as scratch:
        folder = make_run(Path(scratch) / "run", trials=trials, stopped=range(2, trials + 1, 7))
        out = Path(scratch) / "report.html"
        command = [sys.executable, "-m", "raytuner", "report", str(folder), "--out", str(out)]
        first, second = (_timed(command, cache) for _ in range(2))  # after a search, it is as the second
        found = {"trials": trials, "questions": 60, "seconds": round(second, 2), "first_seconds": round(first, 2)}
        return {**found, "bytes": out.stat().st_size, "open_ms": open_ms(out)}


def _timed(command: list[str], cache: Path) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env={**os.environ, "RAYTUNER_CACHE": str(cache)})
    return time.perf_counter() - started


def open_ms(page: Path) -> int | None:
    """When all charts of a page are drawn, after it was begun, in a headless Chromium; None without one."""
    binary = shutil.which("chromium")
    if binary is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=["--no-sandbox"])
        tab = browser.new_page()
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-drawn=yes]", timeout=60_000)
        drawn: float = tab.evaluate("performance.now()")
        browser.close()
    return round(drawn)


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    args = parser.parse_args()
    if args.trials < 1:
        parser.error("--trials must be at least 1")
    found = measured(args.trials)
    rows = [
        common.at_most("written, what was retrieved in the cache", found["seconds"], MOST_SECONDS, " s"),
        common.at_most("written, nothing in the cache", found["first_seconds"], MOST_SECONDS, " s"),
        common.at_most("size", found["bytes"] / 1e6, MOST_MEGABYTES, " MB"),
        common.Row("all charts drawn after", "no Chromium" if found["open_ms"] is None else f"{found['open_ms']} ms"),
    ]
    common.show(args, f"Report: {args.trials} trials, {found['questions']} questions", rows, found)


if __name__ == "__main__":
    main()
