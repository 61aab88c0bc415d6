"""Lasting background event loops: coroutines run from any thread, notebook cell or running loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")

_here = threading.local()
_starting = threading.Lock()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end and return its result.

    It runs on the process's background loop, never on the caller's, so it works where
    `asyncio.run` does not: inside a running loop. One lasting loop also keeps the connections of
    asynchronous clients usable from call to call. A call of `run` from inside of `run` has the
    next such loop, since the first one is waiting for it.

    Args:
        coroutine: What to run.

    Raises:
        Exception: Whatever the coroutine raises.
    """
    future = asyncio.run_coroutine_threadsafe(coroutine, _loop(getattr(_here, "level", 0)))
    try:
        return future.result()
    except KeyboardInterrupt:
        future.cancel()
        raise


def _loop(level: int) -> asyncio.AbstractEventLoop:
    with _starting:
        return _started_loop(level)


@cache
def _started_loop(level: int) -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()

    def serve() -> None:
        _here.level = level + 1
        loop.run_forever()

    threading.Thread(target=serve, name=f"raytuner-asyncio-{level}", daemon=True).start()
    return loop
