"""Zip files that are the same for the same content, so that what a cluster has is not sent again."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)


def write_zip(path: Path, content: Mapping[str, bytes | Path]) -> Path:
    """Write a zip file.

    Args:
        path: Where.
        content: What is in it by name: bytes, or the file that holds them.

    Returns:
        The path; its bytes depend on the content alone.
    """
    with zipfile.ZipFile(path, "w") as archive:
        for name in sorted(content):
            given = content[name]
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, given.read_bytes() if isinstance(given, Path) else given)
    return path
