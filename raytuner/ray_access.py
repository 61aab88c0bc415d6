"""Who may reach the Ray that raytuner starts or joins: its owner, by a token, and nobody else."""

from __future__ import annotations

import os
import secrets
import stat
import sys
import tempfile
from pathlib import Path

from raytuner.errors import UserError

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing reports home
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # an objective's relative paths mean the user's folder
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",  # else Ray prints what it held back at the end, after the result
    "RAY_NUM_REDIS_GET_RETRIES": "5",  # seconds until a cluster that does not let us in is given up; 20 by default
}
"""What Ray and its workers read when they start."""

LONGEST = 40
"""Ray puts sockets into its temporary folder, whose paths may have about a hundred characters in all."""


def prepare_environment() -> None:
    """Set what Ray reads from the environment; some of it already when it is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "ray" not in sys.modules:  # once imported, Ray has read it; its own default is a token as well
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def prepare() -> None:
    """Set what Ray reads from the environment, and have a token.

    Raises:
        UserError: Others can read the token.
    """
    prepare_environment()
    ensure_token()


def ensure_token() -> None:
    """Have a token that only its owner can read: Ray's ports listen on all interfaces, and Ray makes it 0644.

    Raises:
        UserError: There is one that others can read.
    """
    if os.environ.get("RAY_AUTH_TOKEN"):
        return
    given = os.environ.get("RAY_AUTH_TOKEN_PATH")
    token = Path(given) if given else Path.home() / ".ray" / "auth_token"
    if token.is_file():
        check_private(token)
        if not token.read_text(encoding="utf-8", errors="replace").strip():
            raise UserError(f"{token} is empty, so anybody could use your Ray; remove it, and it is made anew")
        return
    if given:
        raise UserError(f"RAY_AUTH_TOKEN_PATH: {given} is no file; correct it, or unset it")
    try:
        token.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=token.parent) as scratch:  # made 0600
            scratch.write(secrets.token_hex(32))
            scratch.flush()
            os.link(scratch.name, token)  # whole or not at all
    except OSError:
        if not token.is_file():  # else another process was faster
            # There is no home to write to: the token is for this process and its children.
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def require_token() -> None:
    """Refuse to start a Ray that asks nobody for a token: it listens on all interfaces.

    Raises:
        UserError: The environment says that it does not.
    """
    mode = os.environ.get("RAY_AUTH_MODE", "token")
    if mode != "token":
        raise UserError(f"RAY_AUTH_MODE is {mode!r}, so anybody who reaches this machine could use Ray; unset it")


def check_private(token: Path) -> None:
    """Refuse a token of this user's that others can read; one that a container mounts belongs to somebody else.

    Raises:
        UserError: They can.
    """
    found = token.stat()
    if found.st_uid == os.getuid() and found.st_mode & 0o077:
        raise UserError(f"{token}: others can read this token, which opens your Ray to them; chmod 600 {token}")


def temporary_folder() -> Path:
    """The folder for Ray's sessions, which nobody else can read; made if it is missing.

    Raises:
        UserError: It belongs to somebody else, or others can read it.
    """
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) > LONGEST - len("/raytuner-1000000/ray"):
        parent = Path("/tmp")  # noqa: S108 - the folder in it is private
    folder = parent / f"raytuner-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise UserError(f"{folder}: not a private folder of yours; remove it, or set TMPDIR to another")
    return folder / "ray"  # which Ray makes, and opens to all; nobody gets there
