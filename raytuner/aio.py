"""One background event loop a process: coroutines run from any thread, notebook cell or running loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result.

    It runs on the process's background loop, never on the caller's, so it works where
    `asyncio.run` does not: inside a running loop. One lasting loop also keeps the connections of
    asynchronous clients usable from call to call.

    Args:
        coroutine: What to run. It must not itself call `run`.

    Raises:
        Exception: Whatever the coroutine raises.
    """
    future = asyncio.run_coroutine_threadsafe(coroutine, _loop())
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        raise


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="raytuner-asyncio", daemon=True).start()
    return loop
