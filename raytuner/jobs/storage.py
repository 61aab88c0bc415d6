"""A run folder copied elsewhere while it is written: to any file system that fsspec knows."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from raytuner.errors import RaytunerError, in_a_line, redact
from raytuner.jobs.send import regular_files
from raytuner.storage import Storage

EVERY_S = 3.0
"""So often the folder is looked at; slower where copying takes long."""
TRIES = 4
"""So often the last copy is tried."""


class Mirror:
    """Copies what has changed of a folder to a storage.

    Args:
        storage: Where folders are copied to, a URL that `checked_storage` has passed.

    Attributes:
        url: That, without a slash at its end.

    Raises:
        ConfigError: It cannot be used from this machine.
    """

    def __init__(self, storage: str) -> None:
        self._storage = Storage(storage)
        self.url = self._storage.url
        self._copied: dict[Path, tuple[int, int]] = {}
        self._next = 0.0

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
                        f"the run folder could not be copied to {self.url} ({redact(in_a_line(error))}); it "
                        "is on the head: raytuner jobs fetch brings it"
                    ) from None
            time.sleep(2**attempt)
        return None

    def copy(self, folder: Path) -> None:
        """Copy the files of a folder that are not there as they are now."""
        for path in regular_files(folder):
            state = (path.stat().st_mtime_ns, path.stat().st_size)
            if self._copied.get(path) != state:
                self._put(path, f"{self._storage.root}/{path.relative_to(folder.parent).as_posix()}")
                self._copied[path] = state

    def _put(self, path: Path, target: str) -> None:
        """Copy a file. On a disk it is never seen half-written; object stores see to that themselves."""
        parent, _, name = target.rpartition("/")
        self._storage.make_folder(parent)
        if not self._storage.is_disk:
            self._storage.files.pipe_file(target, path.read_bytes())
            return
        Path(parent).chmod(path.parent.stat().st_mode)
        scratch = Path(parent) / f".{name}.part"
        shutil.copyfile(path, scratch)
        scratch.chmod(path.stat().st_mode)
        scratch.replace(target)
