"""Which libraries are installed: what they make may be another with each of their versions."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


def installed_version(package: str) -> str:
    """The version of a package, which is not imported; ``not installed`` without it."""
    try:
        return _version(package)
    except PackageNotFoundError:
        return "not installed"


@cache
def _version(package: str) -> str:
    return version(package)  # an error is not remembered: in a notebook the package may be installed meanwhile
