"""The folder of a store: who may use it, on what kind of disk it lies, how large it may become."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
from pathlib import Path

from raytuner.errors import StoreError

FILES, TEMPORARY, LEASES = "files", "tmp", "leases"
"""The folders in the folder of a store."""

LIMIT = 20 * 10**9
"""The default limit in bytes, where a tenth of the disk is not less."""

LIMIT_VARIABLE = "RAYTUNER_CACHE_LIMIT"
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]?)B?", re.IGNORECASE)
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_OTHER_FOLDER = "set RAYTUNER_CACHE to a folder of your own that can be written"
_FULL = (errno.ENOSPC, errno.EDQUOT)
_NETWORK = {"9p", "afs", "beegfs", "ceph", "cifs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs"}


def prepare(folder: Path) -> None:
    """Make the folder of a store, which only the user may enter.

    Raises:
        StoreError: It cannot be made or written, is another user's, or others can write to it.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(folder)
        folder.chmod(0o700)
        for part in (FILES, TEMPORARY, LEASES):
            (folder / part).mkdir(mode=0o700, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise unusable(folder, error) from error


def _check_owner(folder: Path) -> None:
    status = folder.stat()
    if status.st_uid != os.geteuid():
        raise StoreError(f"cache folder {str(folder)!r} belongs to another user: {_OTHER_FOLDER}")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreError(
            f"cache folder {str(folder)!r} can be written by other users: remove it, or look what is in it and "
            "`chmod 700` it"
        )


def unusable(folder: Path, error: OSError) -> StoreError:
    """What is said of a folder where something failed."""
    if error.errno in _FULL:
        return full(folder)
    return StoreError(f"cannot use cache folder {str(folder)!r} ({error.strerror or error}): {_OTHER_FOLDER}")


def full(folder: Path) -> StoreError:
    """What is said of a folder on a disk without space."""
    return StoreError(
        f"no space left on the disk of cache folder {str(folder)!r}: make some, run `raytuner cache clear`, "
        "or set RAYTUNER_CACHE to a folder on another disk"
    )


def default_limit(folder: Path) -> int:
    """``$RAYTUNER_CACHE_LIMIT``, else 20 GB or a tenth of the disk, whichever is less.

    Raises:
        StoreError: The variable holds no size.
    """
    given = os.environ.get(LIMIT_VARIABLE)
    return parse_size(given, LIMIT_VARIABLE) if given else min(LIMIT, shutil.disk_usage(folder).total // 10)


def parse_size(text: str, name: str) -> int:
    """A number of bytes.

    Args:
        text: A number with or without a unit of powers of 1000, e.g. ``500 MB``.
        name: What messages call it.

    Raises:
        StoreError: It is not of that form.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise StoreError(f"{name}: {text!r} is no size; write a number and a unit, e.g. 500MB or 20GB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def is_on_network(folder: Path) -> bool:
    """Whether a folder is on a file system that other machines may share, as far as the system tells (Linux does)."""
    mounts = Path("/proc/self/mountinfo")
    if not mounts.exists():
        return False
    kinds = {}
    for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        kinds[before.split()[4].replace("\\040", " ")] = after.split()[0]
    folder = folder.resolve()
    kind = next((kinds[str(place)] for place in (folder, *folder.parents) if str(place) in kinds), "")
    return kind in _NETWORK or kind.startswith("fuse")
