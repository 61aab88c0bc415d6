"""What goes to the cluster: the config, its documents and questions, its own modules; nothing that it does not name."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from raytuner.config import TuneConfig, escaped
from raytuner.config_sections import AUTO_QUESTIONS
from raytuner.documents.find import find_files
from raytuner.errors import ConfigError, DataError, secret_in
from raytuner.jobs.archive import write_zip
from raytuner.jobs.modules import own_modules, visible_files
from raytuner.jobs.order import CONFIG, FILES, ORDER, Order
from raytuner.run_folder import LOG, RUN
from raytuner.warm_start import run_of
from raytuner.yaml_text import dump

MAX_MB = 100
"""So large may a package be, unpacked, if nothing else is asked for."""
RAYS_LIMIT_MB = 500
"""Ray itself refuses packages of 512 MiB."""


class Package(NamedTuple):
    """What a job is given to work with.

    Attributes:
        content: The files by their names in the package: bytes, or where they are.
        size: In bytes, unpacked.
    """

    content: Mapping[str, bytes | Path]
    size: int

    def write(self, path: Path) -> Path:
        """Write it as a zip file."""
        return write_zip(path, self.content)


def pack(config: TuneConfig, order: Order, max_mb: float = MAX_MB) -> Package:
    """Collect what a config names.

    Args:
        config: The config.
        order: What the job is to do with it; where things were here is added.
        max_mb: The most that it may be, in MB of 1,000,000 bytes.

    Raises:
        DataError: Documents are not there, or the package is too large.
        ConfigError: A secret stands in the config, in one of its modules or in its data.
    """
    raw = config.model_dump(mode="json", exclude_defaults=True, by_alias=True)
    entries: dict[str, list[str]] = {name: _paths(raw[name]) for name in ("documents", "questions") if name in raw}
    local = {name: [path for path in paths if _is_local(path)] for name, paths in entries.items()}
    runs = [str(run_of(path)) for path in config.warm_start]
    root = _root([str(config.folder), *local.get("documents", ()), *local.get("questions", ()), *runs])
    modules = own_modules(raw, config.folder)
    packed = {name: value for name, value in raw.items() if name != "modules"}  # they lie beside the config
    there = {name: value for name, value in raw.get("run", {}).items() if name != "folder"}
    packed["run"] = {**there, "name": config.run.name or "run", "address": "auto"}
    if runs:
        packed["warm_start"] = [_inside(run, root) for run in runs]
    for name, paths in entries.items():
        packed[name] = {**raw[name], "path": [_inside(path, root) for path in paths]}
    content: dict[str, bytes | Path] = {
        **modules,
        **{_inside(f"{run}/{file}", root): Path(run) / file for run in runs for file in (RUN, LOG)},
        **{_inside(str(path), root): path for path in _data(local, reader="reader" in raw.get("documents", {}))},
        CONFIG: dump(escaped(packed)).encode(),
        ORDER: order._replace(root=str(root), modules=str(config.folder) if modules else None).dump(),
    }
    size = _checked_size(content, max_mb)
    _check_secrets(content, written_for_us={CONFIG, *modules})
    return Package(content, size)


def _paths(section: Mapping[str, Any]) -> list[str]:
    given = section.get("path", [])
    paths = [given] if isinstance(given, str) else given
    return [_absolute(path) if _is_local(path) else path for path in paths]


def _absolute(path: str) -> str:
    """The path without ``..``; links stay as they are, since documents are named by what the user wrote."""
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100 - resolve() follows links


def _is_local(path: str) -> bool:
    return not path.startswith("builtin:") and "://" not in path and path != AUTO_QUESTIONS


def _root(paths: Iterable[str]) -> Path:
    """The folder that holds them all; of a glob what comes before its first wildcard."""
    return Path(os.path.commonpath([_fixed(Path(path)) for path in paths]))


def _fixed(path: Path) -> Path:
    """A folder itself, else the nearest that holds whatever the path means."""
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def _inside(path: str, root: Path) -> str:
    """A path as it is in the package. Below the root it stays the same, since documents are named by their paths."""
    return (Path(FILES) / Path(path).relative_to(root)).as_posix() if _is_local(path) else path


def _data(local: Mapping[str, Sequence[str]], *, reader: bool) -> list[Path]:
    """The files of documents and questions; a reader of the user's own may read any that are not hidden."""
    questions = local.get("questions", ())
    found = [file for path in questions for file in _tree(path)]
    for path in local.get("documents", ()):
        found += _tree(path) if reader else [file.path for file in find_files([path], questions)]
    return found


def _tree(path: str) -> list[Path]:
    """A file, or all files below a folder, or of a glob, that are not hidden."""
    place = Path(path)
    if place.is_dir():
        files = [file for _, file in visible_files(place)]
    else:
        files = [place] if place.is_file() else [file for file in map(Path, sorted(glob.glob(path))) if file.is_file()]
    if not files:
        raise DataError(f"{path}: no such file, and no folder with files in it; check documents and questions")
    return files


def _checked_size(content: Mapping[str, bytes | Path], max_mb: float) -> int:
    sizes = {name: given.stat().st_size if isinstance(given, Path) else len(given) for name, given in content.items()}
    size = sum(sizes.values())
    if size > max_mb * 1e6:
        largest = max(sizes, key=lambda name: sizes[name])
        given = content[largest]
        raise DataError(
            f"the package has {described(size)}, more than {max_mb:g} MB; its largest file is "
            f"{given if isinstance(given, Path) else largest} with {described(sizes[largest])}; leave it out, or "
            f"allow more by --max-mb (at most {RAYS_LIMIT_MB})"
        )
    return size


def described(size: int) -> str:
    """A number of bytes for people."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


def _check_secrets(content: Mapping[str, bytes | Path], written_for_us: Collection[str]) -> None:
    """Refuse the values of secret variables, and in what was written for raytuner also what looks like a key."""
    for name, given in content.items():
        data = given.read_bytes() if isinstance(given, Path) else given
        found = secret_in(data.decode("utf-8", errors="replace"), keys=name in written_for_us)
        if found is not None:
            raise ConfigError(
                f"{given if isinstance(given, Path) else 'the config'} holds {found}, and secrets are not packed; "
                "take it from the environment; the key of a service by models: {NAME: {api_key_env: VARIABLE}}"
            )
