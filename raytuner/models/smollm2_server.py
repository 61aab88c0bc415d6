"""The process of smollm2's server: ``python -m raytuner.models.smollm2_server FOLDER WEIGHTS``; see `server`."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

ADDRESS = "server.json"
SERVER_LOCK = "server.lock"
USERS_LOCK = "users.lock"
MODEL_WINDOW = 8192
"""Tokens of prompt and answer that the model was trained for."""
IDLE_S = 5
"""So long after its last user the server ends."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file's exclusive lock, waiting for it; the kernel releases it when the process ends."""
    import fcntl

    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_held(path: Path) -> bool:
    """Whether some process holds a lock on a file."""
    with path.open("a") as file:
        return not _take(file)


def _take(file: IO[str]) -> bool:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def main(folder: Path, weights: str) -> None:
    """Leave the parent process, serve, and end when no user is left."""
    lock = (folder / SERVER_LOCK).open("a")
    if not _take(lock) or os.fork():  # the child keeps the lock
        return
    os.setsid()
    key = secrets.token_hex(16)
    server = _server(weights, key)
    port = urlsplit(server.listening_address).port
    _publish(folder / ADDRESS, {"port": port, "pid": os.getpid(), "key": key})
    users = _wait_for_the_last_user(folder)
    (folder / ADDRESS).unlink(missing_ok=True)
    assert not users.closed  # its lock goes with the process, so that a new user finds it there or gone
    os._exit(0)


def _server(weights: str, key: str) -> Any:
    """Answers that depend on the prompt alone: one at a time, nothing kept from one to the next."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.model_alias = weights, {"smollm2"}
    params.n_ctx, params.n_parallel = MODEL_WINDOW, 1
    params.cache_prompt, params.cache_ram_mib, params.n_ctx_checkpoints = False, 0, 0
    # Its threads wait for each other by spinning: one for each CPU, beside busy trials, would be slower than half.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = max(1, (os.cpu_count() or 1) // 2)
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [key]
    params.ui, params.endpoint_slots, params.cors_origins = False, False, ""
    params.verbosity = -1
    return xllamacpp.Server(params)


def _publish(path: Path, found: dict[str, Any]) -> None:
    temporary = path.with_suffix(".new")
    with open(temporary, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        json.dump(found, file)
    temporary.replace(path)


def _wait_for_the_last_user(folder: Path) -> IO[str]:
    """The users' lock, so that a new user waits for the end."""
    idle = 0
    while True:
        time.sleep(1)
        file = (folder / USERS_LOCK).open("a")
        idle = idle + 1 if _take(file) else 0
        if idle >= IDLE_S:
            return file
        file.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
