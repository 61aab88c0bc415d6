"""Places that several machines share: a path, or a URL of any file system that fsspec knows."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

from raytuner.errors import ConfigError, in_a_line, quoted, redact, secret_in

FLAT = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "tos"}
"""Object stores, which have no folders."""
DISK = "file://"
_GROUP = stat.S_ISGID | stat.S_IRWXG


def checked_storage(storage: str, what: str = "storage") -> str:
    """A storage that can be meant: a URL of a known kind, or an absolute path, as a URL.

    Args:
        storage: What was given.
        what: What it is called in messages.

    Raises:
        ConfigError: It is neither, is in the memory of one process, names no folder, or holds a secret.
    """
    if (secret := secret_in(storage, keys=True)) is not None:
        raise ConfigError(f"{what} holds {secret}, and is shown to all; set its key in the environment of the nodes")
    scheme, separator, path = storage.partition("://")
    if not separator or scheme in ("file", "local"):
        path = path if separator else storage
        if not Path(path).is_absolute():
            raise ConfigError(
                f"{what} {quoted(storage)}: write a URL (s3://bucket/runs), or an absolute path of the nodes"
            )
        return _trimmed(f"{DISK}{path}", what)
    from fsspec.registry import available_protocols

    if scheme not in available_protocols():
        raise ConfigError(
            f"{what} {quoted(storage)}: fsspec knows no {quoted(scheme)}; write s3://, gs://, abfs:// or file://"
        )
    if scheme == "memory":
        raise ConfigError(f"{what} {quoted(storage)} ends with its process; write s3://, gs://, abfs:// or file://")
    return _trimmed(storage, what)


def _trimmed(url: str, what: str) -> str:
    """A URL without a slash at the end."""
    scheme, separator, path = url.partition("://")
    if not path.strip("/"):
        raise ConfigError(f"{what} {quoted(url)}: name a bucket or folder")
    return f"{scheme}{separator}{path.rstrip('/')}"


class Storage:
    """A storage that this machine can write to.

    Args:
        url: From `checked_storage`.

    Attributes:
        url: Without a slash at the end.
        files: Its file system, by fsspec.
        root: Its path there.

    Raises:
        ConfigError: It cannot be used from this machine, or names no bucket or folder.
    """

    def __init__(self, url: str) -> None:
        self.url = _trimmed(url, "storage")
        try:
            from fsspec.core import url_to_fs

            self.files, self.root = url_to_fs(self.url)
            self._check()
        except Exception as error:  # each file system has errors of its own
            raise ConfigError(unusable(url, error)) from None

    def _check(self) -> None:
        """Write a file there and remove it."""
        self.make_folder(self.root)
        probe = f"{self.root}/.raytuner-{time.time_ns()}"
        self.files.pipe_file(probe, b"")
        self.files.rm_file(probe)

    def make_folder(self, path: str) -> None:
        """Make a folder, where there are folders: an object store would make a bucket out of a misspelt name.

        On a disk it is its owner's only; in a storage that its group may use, the group may use it too.
        """
        if self.is_disk:
            self._make_private(Path(path))
        elif self.has_folders:
            self.files.makedirs(path, exist_ok=True)

    def _make_private(self, folder: Path) -> None:
        if folder.is_dir():
            return
        self._make_private(folder.parent)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            if folder.is_dir():  # another process was faster
                return
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
        if Path(self.root) in folder.parents and (group := Path(self.root).stat().st_mode & _GROUP):
            folder.chmod(0o700 | group)

    @property
    def has_folders(self) -> bool:
        """False for object stores."""
        protocol = self.files.protocol
        return FLAT.isdisjoint([protocol] if isinstance(protocol, str) else protocol)

    @property
    def is_disk(self) -> bool:
        """Whether it is a path of this machine."""
        from fsspec.implementations.local import LocalFileSystem

        return isinstance(self.files, LocalFileSystem)


def unusable(storage: str, error: BaseException) -> str:
    """What to say of a storage that cannot be used from this machine."""
    import socket

    reason = getattr(error, "strerror", None) or in_a_line(error)
    return (
        f"storage {storage} cannot be used on node {socket.gethostname()}: {redact(reason)}; correct it, or let the "
        "nodes write there"
    )
