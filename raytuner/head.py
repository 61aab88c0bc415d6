"""Looks after the Ray that a search needs: one that has lost the head, or its own node, says how to go on, and ends."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

LOOK_S = 2.0
ANSWER_S = 5.0
HEAD_LOST_S = 30.0
"""A head that cannot be reached for so long is lost; after 60 s Ray ends this process, with words of its own."""
NODE_LOST_S = 5.0
"""The same for the node that this process belongs to; Ray ends the process when the head has missed the node."""


class Server(NamedTuple):
    """Something without which a search cannot go on.

    Attributes:
        name: What it is, for a message.
        address: Its ``HOST:PORT``; the host may be an IPv6 address in brackets.
        lost_s: It is lost when nobody has answered there for so many seconds.
    """

    name: str
    address: str
    lost_s: float


@contextlib.contextmanager
def watched(servers: Sequence[Server], lost: Callable[[Server], None]) -> Iterator[None]:
    """Look after servers while something runs.

    Args:
        servers: What is needed.
        lost: Called once, in another thread, with the first that is lost.
    """
    over = threading.Event()
    threading.Thread(target=_watch, args=(servers, lost, over), name="raytuner-head", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _watch(servers: Sequence[Server], lost: Callable[[Server], None], over: threading.Event) -> None:
    answered = dict.fromkeys(servers, time.monotonic())
    while not over.wait(LOOK_S):
        for server in servers:
            try:
                connect(server.address, ANSWER_S)
                answered[server] = time.monotonic()
            except OSError:
                if time.monotonic() - answered[server] >= server.lost_s and not over.is_set():
                    return lost(server)
    return None


def connect(address: str, timeout_s: float) -> None:
    """Connect to an address, and leave.

    Args:
        address: See `Server`.
        timeout_s: The most seconds that it may take.

    Raises:
        OSError: Nobody listens there.
    """
    host, _, port = address.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s).close()


def farewell(server: Server, folder: Path | None) -> str:
    """What is said of a search that has lost a server.

    Args:
        server: What is lost.
        folder: The run folder.
    """
    said = f"{server.name}, {server.address}, has not answered for {server.lost_s:g} s: the search cannot go on"
    if folder is None:
        return said
    if not (folder / "config.yaml").is_file():  # it is a search of Python's own
        return f"{said}; what was finished is kept: raytuner show {folder}"
    return (
        f"{said}; what was finished is kept, and here it goes on by raytuner resume {folder} --address local, or at "
        "the address of another cluster"
    )


def end(said: str) -> None:
    """End this process, whose main thread waits within Ray for what is gone, with a last line."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        print(f"\nerror: {said}", file=sys.stderr, flush=True)  # noqa: T201 - nobody is left to raise it to
    os._exit(1)
