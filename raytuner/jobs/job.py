"""A job of raytuner's on a cluster: how it is, what it says, how it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import re
import time
from collections.abc import AsyncGenerator, Generator
from typing import Any, NamedTuple

from raytuner.errors import ClusterError, RaytunerError
from raytuner.jobs.cluster import Cluster, answered

KEY = "raytuner"
"""The metadata by which raytuner's own jobs are known: the version that has submitted them."""
RUN, STORAGE, IMAGE = "raytuner-run", "raytuner-storage", "raytuner-image"
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
INTERRUPTED = 130
PATIENCE_S = 120.0
"""So long a job server that stops answering is asked again."""
STOP_S = 45.0
"""A search ends by itself after it is stopped; see `submit.STOP_WAIT_S`."""


class Job:
    """A submitted job.

    Args:
        cluster: Where it runs.
        id: Its id.

    Attributes:
        id: Its id.
    """

    def __init__(self, cluster: Cluster, id: str) -> None:
        self.id = id
        self._cluster = cluster

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    def status(self) -> str:
        """``PENDING``, ``RUNNING``, ``SUCCEEDED``, ``FAILED`` or ``STOPPED``.

        Raises:
            ClusterError: The cluster does not answer, or has no such job.
        """
        return str(self._details().status.value)

    def logs(self) -> str:
        """Everything that the job has printed so far.

        Raises:
            ClusterError: The cluster does not answer, or has no such job.
        """
        with answered(self._cluster.address):
            return str(self._cluster.client.get_job_logs(self.id))

    def stop(self, *, wait: bool = True) -> bool:
        """Stop it, as Ctrl-C stops a search: it ends with what it has.

        Args:
            wait: Whether to wait until it has ended.

        Returns:
            False if it had ended before.

        Raises:
            ClusterError: The cluster does not answer, has no such job, or the job does not end.
        """
        with answered(self._cluster.address):
            was_running = bool(self._cluster.client.stop_job(self.id))
        if wait and was_running:
            self._wait(STOP_S)
        return was_running

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended.

        Args:
            timeout: The most seconds to wait; None is as long as it takes.

        Returns:
            Its exit code: 0, 1 for a failed search, 2 for a mistake of the user's, 130 if it was stopped.

        Raises:
            ClusterError: It has not ended in that time, or the cluster does not answer any more.
        """
        self._wait(timeout)
        return self.exit_code()

    def _wait(self, timeout: float | None) -> None:
        started = time.monotonic()
        while self._patient_status() not in ENDED:
            if timeout is not None and time.monotonic() - started > timeout:
                raise ClusterError(
                    f"job {self.id} has not ended after {timeout:g} s; look at raytuner jobs logs {self.id}"
                )
            time.sleep(0.5)

    def exit_code(self) -> int:
        """The exit code of one that has ended; 1 if Ray could not even start it, 130 if it was stopped."""
        details = self._details()
        if details.status.value == "STOPPED":
            return INTERRUPTED
        code = details.driver_exit_code
        return int(code) if code is not None else int(details.status.value != "SUCCEEDED")

    def reason(self) -> str | None:
        """Why Ray could not start it or lost it; None if the job itself has ended."""
        details = self._details()
        if details.status.value != "FAILED" or details.driver_exit_code is not None:
            return None
        lines = [line.strip() for line in str(details.message or "").splitlines() if line.strip()]
        telling = [line for line in lines if re.search(r"error|failed", line, re.IGNORECASE)]
        return (telling or lines or ["no reason is known"])[-1][:300]

    def metadata(self) -> dict[str, str]:
        """What was stored with it when it was submitted."""
        return dict(self._details().metadata or {})

    def follow(self) -> Generator[str, None, None]:
        """What it prints, as it prints it, until it has ended; each piece once, however often the connection breaks.

        Raises:
            ClusterError: The cluster does not answer for two minutes, or has no such job.
        """
        seen = 0
        while True:
            lost = False
            skipped = 0
            try:
                with contextlib.closing(_pieces(self._cluster.client.tail_job_logs(self.id))) as pieces:
                    for piece in pieces:
                        new = piece[max(0, seen - skipped) :]
                        skipped += len(piece)
                        seen += len(new)
                        if new:
                            yield new
            except Exception:  # whatever breaks a connection
                lost = True
            if self._patient_status() in ENDED:
                if lost and (rest := self.logs()[seen:]):
                    yield rest
                return
            time.sleep(1)

    def _patient_status(self) -> str:
        """The status, from a server that may be away for a while."""
        started = time.monotonic()
        while True:
            try:
                return self.status()
            except ClusterError as error:
                if time.monotonic() - started > PATIENCE_S:
                    raise RaytunerError(f"{error}; the job may go on: raytuner jobs logs {self.id} --follow") from None
                time.sleep(2)

    def _details(self) -> Any:
        with answered(self._cluster.address):
            return self._cluster.client.get_job_info(self.id)


def _pieces(stream: AsyncGenerator[str, None]) -> Generator[str, None, None]:
    """An asynchronous iterator as one that is not; Ctrl-C ends it at any time."""

    async def next_one() -> str:
        return await anext(stream)

    loop = asyncio.new_event_loop()
    try:
        while True:
            task = loop.create_task(next_one())
            try:
                yield loop.run_until_complete(task)
            except StopAsyncIteration:
                return
    finally:
        task.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.run_until_complete(stream.aclose())  # which waits where its last piece was taken
        del task
        gc.collect()  # a connection that was cut off lets go of itself, for which it needs the loop
        loop.close()


class Row(NamedTuple):
    """What a list of jobs says of one.

    Attributes:
        id: Its id.
        status: See `Job.status`.
        run: The name of the run.
        started: Seconds since 1970.
        ended: Likewise; None if it runs.
        storage: Where its run folder is copied to, if anywhere.
    """

    id: str
    status: str
    run: str
    started: float | None
    ended: float | None
    storage: str | None


def jobs(cluster: Cluster) -> list[Row]:
    """The searches that raytuner has submitted to a cluster, the newest first.

    Raises:
        ClusterError: The cluster does not answer.
    """
    with answered(cluster.address):
        found = cluster.client.list_jobs()
    own = [details for details in found if details.submission_id and RUN in (details.metadata or {})]
    rows = [
        Row(
            details.submission_id,
            str(details.status.value),
            details.metadata[RUN],
            _seconds(details.start_time),
            _seconds(details.end_time),
            details.metadata.get(STORAGE) or None,
        )
        for details in own
    ]
    return sorted(rows, key=lambda row: row.started or 0.0, reverse=True)


def _seconds(milliseconds: int | None) -> float | None:
    return milliseconds / 1000 if milliseconds else None


def find(cluster: Cluster, id: str) -> Job:
    """One of raytuner's jobs.

    Args:
        cluster: Where it runs.
        id: Its id, or the name of its run, of which the newest is taken.

    Raises:
        ClusterError: There is none.
    """
    rows = jobs(cluster)
    for row in rows:
        if id in (row.id, row.run):
            return Job(cluster, row.id)
    known = ", ".join(row.id for row in rows[:3]) or "none"
    raise ClusterError(
        f"job {id}: {cluster.address} has no job of raytuner's of that id or name; the newest: {known}; "
        "raytuner jobs list shows all"
    )
