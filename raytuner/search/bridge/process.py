"""A child process that answers lines of JSON, with limits on time and size."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

from raytuner.errors import SearchError
from raytuner.search.bridge.child import MAX_LINE

PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""The variables that a child gets from the parent's environment; no other, since they may hold secrets."""
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Set to 1: the CPUs belong to the trials, and sums over several threads differ from run to run."""
KEPT = 4000
"""So many of the last bytes of what a child writes to stderr are kept for the message of an error."""
CLOSING_S = 1.0
"""A child has so long to end after its stdin."""
CHUNK = 2**16


class ChildError(Exception):
    """A child died, was late or answered what is no reply; it has been ended."""


class Child:
    """A child process in a temporary folder of its own.

    Args:
        command: What to run; no shell is involved.

    Raises:
        ChildError: It cannot be run.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._folder = tempfile.mkdtemp(prefix="raytuner-child-")
        try:
            self._process = subprocess.Popen(  # noqa: S603 (no shell, and the command is raytuner's)
                [*command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self._folder,
                env=environment(os.environ, self._folder),
                bufsize=0,
                start_new_session=True,  # Ctrl-C is the parent's; and what the child starts can be ended with it
            )
        except OSError as error:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise ChildError(f"{command[0]}: {error.strerror}") from None
        self._requests = 0
        self._answer = bytearray()
        self._errors = bytearray()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe is not None
            os.set_blocking(pipe.fileno(), False)

    def call(self, request: Mapping[str, Any], timeout: float) -> dict[str, Any]:
        """Send a request and wait for its reply.

        Args:
            request: What `child` describes, without an id.
            timeout: Seconds for both.

        Raises:
            ChildError: There is no reply in time, or none that is one, or it says that the request failed.
            SearchError: It says that an option is wrong.
        """
        self._requests += 1
        line = json.dumps({"id": self._requests, **request}, allow_nan=False).encode() + b"\n"
        try:
            if len(line) > MAX_LINE:
                raise ChildError(f"a request has {len(line):,} bytes, more than {MAX_LINE:,}")
            reply = self._reply(self._exchange(line, time.monotonic() + timeout, timeout))
        except ChildError:
            self.close(at_once=True)
            raise
        if "mistake" in reply:
            raise SearchError(str(reply["mistake"])[:500])
        if "error" in reply:
            raise ChildError(f"it reports {str(reply['error'])[:500]}")
        return reply

    def close(self, *, at_once: bool = False) -> None:
        """End the process and what it started, and remove its folder; may be called again.

        Args:
            at_once: Kill it instead of giving it `CLOSING_S` to end by itself.
        """
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        if not at_once:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(CLOSING_S)
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _exchange(self, line: bytes, until: float, timeout: float) -> bytes:
        """Write a line and read one, and meanwhile what comes on stderr."""
        stdin, stdout, stderr = self._process.stdin, self._process.stdout, self._process.stderr
        assert stdin is not None and stdout is not None and stderr is not None
        unsent = memoryview(line)
        with selectors.DefaultSelector() as selector:
            selector.register(stdin, selectors.EVENT_WRITE)
            selector.register(stdout, selectors.EVENT_READ)
            selector.register(stderr, selectors.EVENT_READ)
            while b"\n" not in self._answer:
                ready = selector.select(max(0.0, until - time.monotonic()))
                if not ready:
                    raise ChildError(f"there was no answer in {timeout:g} s{self._said()}")
                for key, _ in ready:
                    if key.fileobj is stdin:
                        unsent = unsent[self._write(unsent) :]
                        if not unsent:
                            selector.unregister(stdin)
                    elif key.fileobj is stderr:
                        if not self._read_errors():
                            selector.unregister(stderr)
                    else:
                        self._read_answer()
        answer, _, rest = bytes(self._answer).partition(b"\n")
        self._answer = bytearray(rest)
        return answer

    def _write(self, unsent: memoryview) -> int:
        assert self._process.stdin is not None
        try:
            return os.write(self._process.stdin.fileno(), unsent[:CHUNK])
        except BlockingIOError:
            return 0
        except OSError:
            raise self._ended() from None

    def _read_answer(self) -> None:
        assert self._process.stdout is not None
        found = os.read(self._process.stdout.fileno(), CHUNK)
        if not found:
            raise self._ended()
        self._answer += found
        if len(self._answer) > MAX_LINE:
            raise ChildError(f"it sent more than {MAX_LINE:,} bytes at once")

    def _read_errors(self) -> bool:
        assert self._process.stderr is not None
        try:
            found = os.read(self._process.stderr.fileno(), CHUNK)
        except BlockingIOError:
            return True
        self._errors = (self._errors + found)[-KEPT:]
        return bool(found)

    def _ended(self) -> ChildError:
        """What to say of a process that has closed its pipes."""
        how = f"it closed its output and did not end in {CLOSING_S:g} s"
        with contextlib.suppress(subprocess.TimeoutExpired):
            how = f"it ended with code {self._process.wait(CLOSING_S)}"
        for _ in range(100):  # what is left in the pipe
            if not self._read_errors():
                break
        return ChildError(f"{how}{self._said()}")

    def _said(self) -> str:
        """The last line of stderr, as a clause."""
        lines = [line.strip() for line in self._errors.decode(errors="replace").splitlines() if line.strip()]
        return f" ({lines[-1][:300]})" if lines else ""

    def _reply(self, line: bytes) -> dict[str, Any]:
        try:
            reply = json.loads(line)
        except (ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict) or reply.get("id") != self._requests:
            raise ChildError(f"it sent no reply but {line[:60]!r}")
        return reply


def environment(given: Mapping[str, str], folder: str) -> dict[str, str]:
    """The environment of a child: nothing of the parent's that may be secret, one thread, no home but its folder.

    Args:
        given: The parent's.
        folder: The child's folder.
    """
    passed = {name: given[name] for name in PASSED_ON if name in given}
    own = {"HOME": folder, "TMPDIR": folder, "PYTHONHASHSEED": "0", "PYTHONNOUSERSITE": "1", "PYTHONUNBUFFERED": "1"}
    return {**passed, **own, **dict.fromkeys(THREADS, "1")}
