"""Fail if a wheel lacks a file of the package, or holds another, and if another build of it differs."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path


def main() -> int:
    """Compare the files of a wheel with the folder of the package, byte by byte, and with a second wheel."""
    wheel, twin, package = map(Path, sys.argv[1:4])
    built, again = contents(wheel), contents(twin)
    wanted = {
        path.relative_to(package.parent).as_posix(): path.read_bytes()
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    held = {name: data for name, data in built.items() if ".dist-info/" not in name}
    wrong = sorted(name for name in wanted.keys() | held.keys() if wanted.get(name) != held.get(name))
    differing = sorted(name for name in built.keys() | again.keys() if built.get(name) != again.get(name))
    print(f"{len(held)} files in {wheel.name}, wrong: {wrong}; built directly it differs in: {differing}")
    return 1 if wrong or differing or f"{package.name}/py.typed" not in held else 0


def contents(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel by name."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}


if __name__ == "__main__":
    sys.exit(main())
