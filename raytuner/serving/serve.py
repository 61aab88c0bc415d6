"""Starts the server of `raytuner serve`."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence

from raytuner.errors import ConfigError, UserError, declare_secret
from raytuner.loaded import LoadedPipeline
from raytuner.models.endpoint import is_loopback, similar
from raytuner.serving.gate import Limits

SHORTEST_KEY = 16
CONNECTIONS = 256
"""So many connections there may be beside those that are answered; beyond them a request gets 503."""
GRACE_S = 10
"""So long requests in flight may go on after Ctrl-C."""


def keys_of(variables: Sequence[str], host: str) -> tuple[str, ...]:
    """The API keys in some variables.

    Raises:
        ConfigError: One is not set or too short, or the server could be reached by others without any.
    """
    found = []
    for name in variables:
        declare_secret(name)
        key = os.environ.get(name, "").strip()
        if not key:
            raise ConfigError(f"--api-key-env {name}: the variable is not set{similar(name)}; put a key into it")
        if len(key) < SHORTEST_KEY or not key.isascii():
            raise ConfigError(
                f"--api-key-env {name}: a key has at least {SHORTEST_KEY} characters of ASCII; make another"
            )
        found.append(key)
    if not found and not is_loopback(host):
        raise ConfigError(f"--host {host}: others could ask; name the variable of a key by --api-key-env")
    return tuple(found)


def check_installed() -> None:
    """Refuse to begin without the libraries.

    Raises:
        UserError: With the command that installs them.
    """
    try:
        import fastapi  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError(f'raytuner serve needs {error.name}: pip install "raytuner[serve]"') from None


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens.

    Raises:
        UserError: The port is taken, or there is no such host here.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{host}, port {port}: {reason}; name others by --host and --port") from None


def serve(
    pipeline: LoadedPipeline,
    listens: socket.socket,
    *,
    name: str,
    keys: tuple[str, ...],
    limits: Limits,
    ready: Callable[[str], None],
) -> None:
    """Serve until Ctrl-C, which lets requests in flight go on for `GRACE_S`.

    Args:
        pipeline: What answers.
        listens: From `listening`.
        name: The name of the model.
        keys: From `keys_of`.
        limits: What it takes on.
        ready: Called with the address before the first request.
    """
    import uvicorn

    from raytuner.serving.app import make_app

    app = make_app(pipeline, name=name, keys=keys, limits=limits)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=limits.at_once + CONNECTIONS,
        timeout_graceful_shutdown=GRACE_S,
    )
    host, port = listens.getsockname()[:2]
    ready(f"http://{f'[{host}]' if ':' in host else host}:{port}/v1")
    uvicorn.Server(config).run(sockets=[listens])
