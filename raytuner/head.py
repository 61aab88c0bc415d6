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

from raytuner.errors import ConfigError

LOOK_S = 2.0
ANSWER_S = 5.0
HEAD_LOST_S = 30.0
"""A head that cannot be reached for so long is lost; after 60 s Ray ends this process, with words of its own."""
NODE_LOST_S = 5.0
"""The same for the node that this process belongs to, once nobody listens there; Ray then ends the process soon."""
SETTINGS = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SETTINGS
"""What a client of HTTP/2 says first; a frame of settings has the type 4."""


class Server(NamedTuple):
    """Something without which a search cannot go on.

    Attributes:
        name: What it is, for a message.
        address: Its ``HOST:PORT``; the host may be an IPv6 address in brackets.
        lost_s: It is lost when nobody has listened there for so many seconds; who listens and does not answer has
            `HEAD_LOST_S`.
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
                greet(server.address, ANSWER_S)
                answered[server] = time.monotonic()
            except OSError as error:
                gone = isinstance(error, ConnectionRefusedError)  # else it may only be slow, as where memory is short
                limit_s = server.lost_s if gone else HEAD_LOST_S
                if time.monotonic() - answered[server] >= limit_s and not over.is_set():
                    return lost(server)
    return None


def await_all(servers: Sequence[Server]) -> None:
    """Wait until all servers answer, as long as none is lost; then who watches them ends the process."""
    end = time.monotonic() + max(server.lost_s for server in servers) + 2 * ANSWER_S
    while time.monotonic() < end:
        try:
            for server in servers:
                greet(server.address, ANSWER_S)
            return
        except OSError:
            time.sleep(LOOK_S / 4)


def greet(address: str, timeout_s: float) -> None:
    """Connect to a server of Ray's, and wait for its first words: gRPC begins with settings (RFC 9113, 3.4 and 6.5).

    Args:
        address: See `Server`.
        timeout_s: The most seconds that it may take to connect, and to answer.

    Raises:
        OSError: Nobody listens there, answers, or what answers is something else.
    """
    host, _, port = address.rpartition(":")
    if int(port) >= 2**16:  # the system would take what is left of it by 2**16
        raise OSError("a port is at most 65535")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s) as connection:
        if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):  # then it says nothing before it is asked for a key
            return
        connection.sendall(PREFACE)
        answer = connection.recv(len(SETTINGS))
    if answer[3:4] != SETTINGS[3:4]:
        raise OSError("what listens there is no head of Ray")


def check_address(address: str | None) -> None:
    """Refuse an address where no head answers; Ray itself would try for minutes.

    Raises:
        ConfigError: With the address and the reason.
    """
    if address == "auto":  # as Ray takes it
        address = os.environ.get("RAY_ADDRESS")
    if address is None:
        return
    if address.startswith("ray://"):
        raise ConfigError(f"address {address!r}: Ray Client is not used; raytuner.submit runs a search in the cluster")
    _, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        _must_answer(address, address)


def check_client_address(address: str) -> None:
    """Refuse an address of Ray Client, ``ray://HOST:PORT``, where nobody answers; see `check_address`."""
    _must_answer(address.removeprefix("ray://"), address)


def _must_answer(server: str, address: str) -> None:
    try:
        greet(server, timeout_s=4)
    except OSError as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"address {address!r}: nobody answers there ({reason}); start Ray there, or correct the address"
        ) from None


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
