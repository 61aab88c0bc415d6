"""Lasting background event loops: coroutines run from any thread, notebook cell or running loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
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


async def in_thread(work: Callable[[], T]) -> T:
    """Run what may wait in a thread of its own, so that the loop goes on.

    It sees the context variables of the caller. The thread is a daemon: it does not hold up the end of the process.

    Args:
        work: What to run.

    Raises:
        Exception: Whatever it raises.
    """
    loop, own = asyncio.get_running_loop(), contextvars.copy_context()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

    def run_it() -> None:
        found: tuple[T | None, BaseException | None]
        try:
            found = own.run(work), None
        except BaseException as error:
            found = None, error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, *found)

    threading.Thread(target=run_it, name="raytuner-waiting", daemon=True).start()
    return await done


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
