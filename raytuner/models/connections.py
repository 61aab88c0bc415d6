"""Asynchronous connections to services, by aiohttp: they take half the processor time of httpx's own."""

from __future__ import annotations

import asyncio
import atexit
import contextlib

import httpx
import openai

CLOSE_S = 2.0
"""At the end of the process, closing connections may take so long."""

_open: list[tuple[httpx.AsyncClient, asyncio.AbstractEventLoop]] = []
_closing: set[asyncio.Task[None]] = set()


def http_client(*, trust_env: bool = True) -> httpx.AsyncClient:
    """A client for the running event loop, as the ``openai`` package takes it.

    It is closed after its loop has ended, or at the end of the process: aiohttp would complain of each that is not.

    Args:
        trust_env: Whether to go by the proxies that the environment names.
    """
    running = asyncio.get_running_loop()
    for found in [found for found in _open if found[1].is_closed()]:
        _open.remove(found)
        task = running.create_task(_close(found[0]))
        _closing.add(task)
        task.add_done_callback(_closing.discard)
    made = openai.DefaultAioHttpClient(trust_env=trust_env)
    _open.append((made, running))
    return made


async def _close(client: httpx.AsyncClient) -> None:
    with contextlib.suppress(Exception):  # a loop that has ended took its connections with it
        await client.aclose()


@atexit.register
def _close_all() -> None:
    for client, loop in _open:
        with contextlib.suppress(Exception):
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(_close(client), loop).result(CLOSE_S)
            else:
                asyncio.run(_close(client))
