"""Bringing a run folder back from the head, through the log of a small job."""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import io
import json
import secrets
import shlex
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from raytuner.errors import ClusterError, RaytunerError, UserError
from raytuner.jobs import send
from raytuner.jobs.archive import write_zip
from raytuner.jobs.cluster import Cluster, answered
from raytuner.jobs.job import ENDED, KEY, Job
from raytuner.jobs.send import END, MARK, MAX_BYTES


def fetch(cluster: Cluster, job: Job, out: Path) -> Path:
    """Copy the run folder of a job to this machine.

    Args:
        cluster: Where the job has run.
        job: The job; of one that still runs, what is there by now comes.
        out: The folder in which the run folder is made.

    Returns:
        The run folder.

    Raises:
        ClusterError: There is no run folder, it is too large for this way, or the cluster does not answer.
        UserError: The folder is there already, or cannot be written.
        RaytunerError: It has not arrived as it was sent.
    """
    sender = _start(cluster, job)
    try:
        data = received("".join(sender.follow()), job.id, job.status() in ENDED)
    finally:
        with answered(cluster.address):
            if sender.status() not in ENDED:
                sender.stop()
            cluster.client.delete_job(sender.id)
    return unpacked(data, out)


def _start(cluster: Cluster, job: Job) -> Job:
    """Start the job that prints the run folder; it brings its own script and needs nothing of the nodes but Python."""
    name = f"raytuner-fetch-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="raytuner-") as scratch, answered(cluster.address):
        script = write_zip(Path(scratch) / "send.zip", {"send.py": Path(send.__file__)})
        cluster.client.submit_job(
            entrypoint=f"exec python send.py {shlex.quote(job.id)}",
            submission_id=name,
            runtime_env={"working_dir": str(script)},
            metadata={KEY: "fetch"},
        )
    return Job(cluster, name)


def received(log: str, job: str, ended: bool = True) -> bytes:
    """The tar in a log of `raytuner.jobs.send`.

    Args:
        log: What the sender has printed.
        job: The id of the job whose folder it is, for messages.
        ended: Whether that job has ended.

    Raises:
        ClusterError: There is no run folder, or it is too large.
        RaytunerError: The log is not whole, or not what was sent.
    """
    lines = iter(log.splitlines())
    head = _head(lines)
    if head is None:
        last = ([line for line in log.splitlines() if line.strip()] or ["nothing"])[-1]
        raise RaytunerError(f"the head has sent no run folder but said: {last[:200]}; see raytuner jobs logs {job}")
    if "missing" in head:
        why = "it ended before its search began" if ended else "its search has not begun"
        raise ClusterError(f"job {job} has no run folder on the head: {why}; see raytuner jobs logs {job}")
    if "too_large" in head:
        raise ClusterError(
            f"the run folder {head['folder']} has {head['too_large'] / 1e6:,.1f} MB, and only "
            f"{head['most'] / 1e6:,.0f} MB can be fetched by a log; copy it from the head, or submit with --storage"
        )
    body = []
    for line in lines:
        if line == END:
            break
        body.append(line)
    try:
        data = base64.b64decode("".join(body), validate=True)
    except binascii.Error:
        data = b""
    if len(data) != head.get("bytes") or hashlib.sha256(data).hexdigest() != head.get("sha256"):
        raise RaytunerError(f"the run folder of {job} has not arrived as it was sent; fetch it again")
    return data


def _head(lines: Iterator[str]) -> dict[str, Any] | None:
    """What the sender says first; what Ray itself prints before is skipped."""
    for line in lines:
        if line.startswith(MARK):
            try:
                found = json.loads(line.removeprefix(MARK))
            except ValueError:
                return None
            return found if isinstance(found, dict) else None
    return None


def unpacked(data: bytes, out: Path) -> Path:
    """Unpack a tar that holds one run folder: files only, all below that folder, never over what is there.

    Args:
        data: The tar, with gzip.
        out: Where the folder is made.

    Returns:
        The folder.

    Raises:
        RaytunerError: The tar holds anything else.
        UserError: The folder is there already, or cannot be written.
    """
    try:
        files = _files(data)
    except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, gzip.BadGzipFile) as error:
        raise RaytunerError(f"what was sent is not the tar of a run folder ({error}); nothing is unpacked") from None
    name = next(iter(files)).parts[0]
    target = out / name
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=f".{name}.") as scratch:
            for path, content in files.items():
                place = Path(scratch) / path
                place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                place.write_bytes(content)
                place.chmod(0o600)
            if target.exists():
                raise UserError(f"{target} is there already; remove it, or name another folder by --out")
            shutil.move(Path(scratch) / name, target)
    except OSError as error:
        raise UserError(f"{error.filename or out}: {error.strerror}; name another folder by --out") from None
    return target


def _files(data: bytes) -> dict[PurePosixPath, bytes]:
    """The files of a tar by their names.

    Raises:
        ValueError: Something in it is no file, lies elsewhere, or there is too much of it.
    """
    found: dict[PurePosixPath, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        total = 0
        for member in archive:
            path = PurePosixPath(member.name)
            total += member.size
            if not member.isreg() or total > 2 * MAX_BYTES:  # what grew while it was read is allowed for
                raise ValueError(f"{member.name!r} is no regular file, or too large")
            if path.is_absolute() or len(path.parts) < 2 or ".." in path.parts or path in found:
                raise ValueError(f"{member.name!r} is no name in a run folder")
            stream = archive.extractfile(member)
            assert stream is not None  # of regular files there is one
            found[path] = stream.read()
    if len({path.parts[0] for path in found}) != 1:
        raise ValueError("it holds no folder, or several")
    return found
