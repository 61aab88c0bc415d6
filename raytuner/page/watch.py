"""``raytuner watch``: the report of a run that goes on, served on this machine alone."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from raytuner.errors import ConfigError, DataError
from raytuner.page.data import report_of
from raytuner.page.state import state_of
from raytuner.page.write import page, shown
from raytuner.run_folder import HELD_OUT, LOG, RUN, read_run

HOST = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost")
"""What the server may be called: another site whose name leads here gets nothing (DNS rebinding)."""


class Watched:
    """A run folder that may change.

    Args:
        folder: The run folder.
        texts: Whether texts are shown when the run has ended; while it goes on they would keep it from its work.
        trust: See `raytuner.page.data.report_of`.
    """

    def __init__(self, folder: Path, *, texts: bool = True, trust: bool = False) -> None:
        self._folder = folder
        self._texts = texts
        self._trust = trust
        self._made: tuple[str, dict[str, Any]] | None = None

    @property
    def seen(self) -> str:
        """What the folder looks like now; another text when something in it has changed."""
        stats = [path.stat() if (path := self._folder / name).is_file() else None for name in (LOG, RUN, HELD_OUT)]
        looks = [(stat.st_size, stat.st_mtime_ns) if stat else None for stat in stats]
        return json.dumps([looks, self.is_live])

    @property
    def is_live(self) -> bool:
        """Whether a driver is at work."""
        return state_of(self._folder, read_run(self._folder)) == "running"

    def report(self) -> dict[str, Any]:
        """The report as it stands, made anew only after a change."""
        seen, live = self.seen, self.is_live
        if self._made is None or self._made[0] != seen:
            found = report_of([self._folder], texts=self._texts and not live, trust=self._trust)
            questions = found["runs"][0]["questions"]
            if questions is not None and live:
                questions["texts"] = {"why_none": "the run is still going on; they are there when it has ended"}
            self._made = seen, {**found, "live": live, "seen": seen}
        return self._made[1]


def application(watched: Watched, token: str) -> web.Application:
    """The server: ``/TOKEN/`` is the page, ``/TOKEN/data.json`` what it asks for.

    Args:
        watched: The run.
        token: What other users of this machine do not know.
    """
    turn = asyncio.Lock()

    async def report() -> dict[str, Any]:
        async with turn:  # one at a time: others get what was made for the first
            return await asyncio.to_thread(watched.report)

    async def index(_request: web.Request) -> web.Response:
        found = await report()
        text = await asyncio.to_thread(lambda: page(found, live=bool(found["live"])))
        return web.Response(text=text, content_type="text/html")

    async def data(request: web.Request) -> web.Response:
        if request.query.get("seen") == watched.seen:
            return web.Response(status=204)
        found = await report()
        return web.json_response(await asyncio.to_thread(lambda: shown(found)))

    application = web.Application(middlewares=[_guarded])
    application.router.add_get(f"/{token}/", index)
    application.router.add_get(f"/{token}/data.json", data)
    return application


@web.middleware
async def _guarded(request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
    """Answer only whoever knows this server by its own name, and say what a browser may do with it."""
    if _called(request) not in NAMES:
        raise web.HTTPForbidden(text="this server is asked by 127.0.0.1 or localhost only\n")
    try:
        response: web.StreamResponse = await handler(request)
    except DataError as error:  # the folder was removed or damaged meanwhile
        response = web.Response(status=503, text=f"{error}\n")
    response.headers.update(
        {
            "Cache-Control": "no-store",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }
    )
    return response


def _called(request: web.Request) -> str | None:
    """The name by which the server was asked; None if that is none."""
    try:
        return request.url.host
    except ValueError:
        return None


def serve(
    folder: Path, *, port: int, texts: bool, trust: bool, listening: Callable[[str], object] = lambda _: None
) -> None:
    """Serve the report of a run until Ctrl-C.

    Args:
        folder: The run folder.
        port: 0 is any that is free.
        texts: See `Watched`.
        trust: See `Watched`.
        listening: Called with the address.

    Raises:
        DataError: It is no run folder, or damaged.
        ConfigError: The port is taken.
        KeyboardInterrupt: It was ended.
    """
    watched = Watched(folder, texts=texts, trust=trust)
    watched.report()  # what is wrong is said before anything listens
    asyncio.run(_serve(watched, port, listening))
    raise KeyboardInterrupt


async def _serve(watched: Watched, port: int, listening: Callable[[str], object]) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    token = secrets.token_urlsafe(16)
    runner = web.AppRunner(application(watched, token), access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        try:
            await site.start()
        except OSError as error:
            raise ConfigError(f"--port {port}: {error.strerror}; name another, or none for any that is free") from None
        listening(f"http://{HOST}:{runner.addresses[0][1]}/{token}/")
        await ended.wait()
    finally:
        await runner.cleanup()
