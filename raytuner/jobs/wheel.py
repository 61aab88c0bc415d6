"""raytuner as a wheel, made of the files that run here: a cluster gets what its user has, a checkout too."""

from __future__ import annotations

import hashlib
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import raytuner
from raytuner.jobs.archive import write_zip

PACKAGE = Path(raytuner.__file__).parent


def build_wheel(folder: Path) -> Path:
    """Write the wheel.

    It names no dependencies, since whatever installs it would fetch them again, Ray too. `requirements` says them, and
    a job looks for them before it begins.

    Args:
        folder: Where it is written.

    Returns:
        Its path; the same files give the same bytes.
    """
    version = raytuner.__version__
    content = {f"raytuner/{name}": path.read_bytes() for name, path in _files()}
    info = f"raytuner-{version}.dist-info"
    content[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: raytuner\nVersion: {version}\n".encode()
    content[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: raytuner {version}\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    ).encode()
    content[f"{info}/RECORD"] = _record(content, f"{info}/RECORD")
    return write_zip(folder / f"raytuner-{version}-py3-none-any.whl", content)


def unpacked_wheel(folder: Path) -> list[Path]:
    """Build the wheel and unpack it, which installs a wheel of Python files: Ray puts what it unpacks on Python's path.

    Ray could install it by pip. But then the second node on a machine, and a node whose agent starts again, tries to
    install the folder that is there already, fails, and removes it.

    Args:
        folder: Where it is unpacked.

    Returns:
        The package and its metadata, each a folder for ``py_modules``.
    """
    with zipfile.ZipFile(build_wheel(folder)) as wheel:
        wheel.extractall(folder / "wheel")
    return sorted((folder / "wheel").iterdir())


def requirements() -> list[str]:
    """What raytuner needs of a node, as its metadata has it; extras are left out."""
    try:
        found = requires("raytuner") or []
    except PackageNotFoundError:  # a copy of the files that was never installed
        return []
    return [line for line in found if "extra ==" not in line]


def _files() -> Iterator[tuple[str, Path]]:
    """The files of the package, in the order of their names; none that are hidden or compiled."""
    for path in sorted(PACKAGE.rglob("*")):
        name = path.relative_to(PACKAGE)
        if path.is_file() and path.suffix != ".pyc" and not any(part.startswith(".") for part in name.parts):
            yield name.as_posix(), path


def _record(content: Mapping[str, bytes], own: str) -> bytes:
    """The list of files with their hashes, its own entry without one."""
    rows = []
    for name, data in content.items():
        digest = urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(data)}\n")
    return "".join([*rows, f"{own},,\n"]).encode()
