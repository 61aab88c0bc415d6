"""A run folder copied elsewhere while it is written: to any file system that fsspec knows."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from raytuner.errors import ConfigError, RaytunerError, in_a_line, quoted, redact, secret_in
from raytuner.jobs.send import regular_files

EVERY_S = 3.0
"""So often the folder is looked at; slower where copying takes long."""
FLAT = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "tos"}
"""Object stores, which have no folders."""
TRIES = 4
"""So often the last copy is tried."""


def checked_storage(storage: str | None) -> str | None:
    """A storage that can be meant: a URL of a known kind, or an absolute path, as a URL.

    Raises:
        ConfigError: It is neither, or it holds a secret.
    """
    if storage is None:
        return None
    if (secret := secret_in(storage, keys=True)) is not None:
        raise ConfigError(f"storage holds {secret}, and jobs show it to all; set its key on the nodes")
    scheme, separator, _ = storage.partition("://")
    if not separator:
        if not Path(storage).is_absolute():
            raise ConfigError(
                f"storage {quoted(storage)}: write a URL (s3://bucket/runs), or an absolute path of the nodes"
            )
        return f"file://{storage}"
    from fsspec.registry import available_protocols

    if scheme not in available_protocols():
        raise ConfigError(
            f"storage {quoted(storage)}: fsspec knows no {quoted(scheme)}; write s3://, gs://, abfs:// or file://"
        )
    return storage


class Mirror:
    """Copies what has changed of a folder to a storage.

    Args:
        storage: Where folders are copied to, a URL that `checked_storage` has passed.

    Raises:
        ConfigError: It cannot be used from this machine.
    """

    def __init__(self, storage: str) -> None:
        self.storage = storage.rstrip("/")
        self._copied: dict[Path, tuple[int, int]] = {}
        self._next = 0.0
        try:
            from fsspec.core import url_to_fs

            self._files, self._root = url_to_fs(self.storage)
            self._check()
        except Exception as error:  # each file system has errors of its own
            raise ConfigError(unusable(storage, error)) from None

    def _check(self) -> None:
        """Write a file there and remove it."""
        self._make_folder(self._root)
        probe = f"{self._root}/.raytuner-{time.time_ns()}"
        self._files.pipe_file(probe, b"")
        self._files.rm_file(probe)

    def _make_folder(self, path: str) -> None:
        """Make a folder, where there are folders: an object store would make a bucket out of a misspelt name."""
        protocol = self._files.protocol
        if FLAT.isdisjoint([protocol] if isinstance(protocol, str) else protocol):
            self._files.makedirs(path, exist_ok=True)

    def look(self, folder: Path) -> str | None:
        """Copy what has changed if it is time for it; what went wrong, if something did."""
        if time.monotonic() < self._next:
            return None
        started = time.monotonic()
        try:
            self.copy(folder)
        except Exception as error:  # it is tried again
            return redact(in_a_line(error))
        finally:
            took = time.monotonic() - started
            self._next = time.monotonic() + max(EVERY_S, 5 * took)
        return None

    def finish(self, folder: Path) -> None:
        """Copy what has changed, whatever it takes.

        Raises:
            RaytunerError: It could not be copied.
        """
        for attempt in range(TRIES):
            try:
                return self.copy(folder)
            except Exception as error:
                if attempt == TRIES - 1:
                    raise RaytunerError(
                        f"the run folder could not be copied to {self.storage} ({redact(in_a_line(error))}); it is on "
                        "the head: raytuner jobs fetch brings it"
                    ) from None
            time.sleep(2**attempt)
        return None

    def copy(self, folder: Path) -> None:
        """Copy the files of a folder that are not there as they are now."""
        for path in regular_files(folder):
            state = (path.stat().st_mtime_ns, path.stat().st_size)
            if self._copied.get(path) != state:
                self._put(path, f"{self._root}/{path.relative_to(folder.parent).as_posix()}")
                self._copied[path] = state

    def _put(self, path: Path, target: str) -> None:
        """Copy a file. On a disk it is never seen half-written; object stores see to that themselves."""
        parent, _, name = target.rpartition("/")
        self._make_folder(parent)
        if not _is_disk(self._files):
            self._files.pipe_file(target, path.read_bytes())
            return
        Path(parent).chmod(path.parent.stat().st_mode)
        scratch = Path(parent) / f".{name}.part"
        shutil.copyfile(path, scratch)
        scratch.chmod(path.stat().st_mode)
        scratch.replace(target)


def _is_disk(files: Any) -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return isinstance(files, LocalFileSystem)


def unusable(storage: str, error: BaseException) -> str:
    """What to say of a storage that cannot be used from this machine."""
    import socket

    reason = getattr(error, "strerror", None) or in_a_line(error)
    return (
        f"storage {storage} cannot be used on node {socket.gethostname()}: {redact(reason)}; correct it, or let the "
        "nodes write there"
    )
