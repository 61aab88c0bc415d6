"""smollm2's server: one process for each user and node, shared by all that ask, ended when none is left.

Everything about it lies in a private folder. `start.lock` is held while it is looked for and started. Each process
that uses it holds a shared lock on `users.lock`, which the kernel releases even if the process is killed; the server
ends when it gets that lock for itself. It holds `server.lock` as long as it lives.
"""

from __future__ import annotations

import functools
import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import raytuner
from raytuner.errors import ModelError
from raytuner.models import weights
from raytuner.models.smollm2_server import ADDRESS, SERVER_LOCK, USERS_LOCK, is_held, locked
from raytuner.models.wheels import REGISTRY

MODEL = "smollm2"
WEIGHTS = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT_WINDOW = 2048
"""Tokens as LlamaIndex counts them; the model has 8,192 of its own, of which a text may need more."""
MAX_TOKENS = 256
TIMEOUT_S = 3600.0
"""Questions are answered one at a time, so that one may wait for many others."""
START_TIMEOUT_S = 120.0

_connecting = threading.Lock()


class Server(NamedTuple):
    """Where the server is and its key."""

    base_url: str
    api_key: str


def connect() -> Server:
    """Find the server, starting it if there is none; it lives at least as long as this process.

    Raises:
        ModelError: Its weights cannot be had, or it does not start.
    """
    with _connecting:
        _use()
        folder = private_folder()
        with locked(folder / "start.lock"):
            if not (is_held(folder / SERVER_LOCK) and (folder / ADDRESS).exists()):
                _start(folder, str(weights.member_path(MODEL, WEIGHTS)))
            return _address(folder)


def private_folder() -> Path:
    """The folder of the server, which nobody else can read; made if it is missing.

    Raises:
        ModelError: It belongs to somebody else, or others can read it.
    """
    parent = Path(tempfile.gettempdir()) / f"raytuner-{os.getuid()}"
    folder = parent / f"{MODEL}-{REGISTRY[MODEL].members[0].sha256[:12]}"
    for path in (parent, folder):
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise ModelError(f"{str(path)!r} is not a private folder of yours: remove it, or set TMPDIR to another")
    return folder


@functools.cache
def _use() -> object:
    """The process's share of the server, for the rest of its life."""
    return _shared(private_folder() / USERS_LOCK)


def _shared(path: Path) -> object:
    import fcntl

    file = path.open("a")
    fcntl.flock(file, fcntl.LOCK_SH)  # waits for a server that is about to end
    return file


def _start(folder: Path, model: str) -> None:
    """Start the server and wait until it answers."""
    (folder / ADDRESS).unlink(missing_ok=True)
    log = folder / "server.log"
    root = str(Path(raytuner.__file__).parent.parent)
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    with log.open("w") as output:
        # It leaves its parent and its session, so that neither Ctrl-C nor the end of this process ends it.
        subprocess.run(  # noqa: S603 (nothing of it comes from a config)
            [sys.executable, "-m", "raytuner.models.smollm2_server", str(folder), model],
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    until = time.monotonic() + START_TIMEOUT_S
    while not (folder / ADDRESS).exists():
        if time.monotonic() > until or not is_held(folder / SERVER_LOCK):
            lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
            last = next((line for line in reversed(lines) if line.strip()), "no message")
            raise ModelError(f"the server of {MODEL} did not start ({last[:200]}): see {log}, or use another model")
        time.sleep(0.05)


def _address(folder: Path) -> Server:
    found = json.loads((folder / ADDRESS).read_text(encoding="utf-8"))
    return Server(f"http://127.0.0.1:{found['port']}/v1", found["key"])
