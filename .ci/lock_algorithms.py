"""Write the lock files of the algorithms that run in environments of their own, with the sizes of what they name.

Run it with uv on the PATH, and with packaging, when a version is to be raised:
``python .ci/lock_algorithms.py raytuner/search/bridge/locks``. Nothing is built or installed.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import tomllib
from packaging.markers import Marker
from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import parse_wheel_filename

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
PLATFORMS = {
    **{
        ("linux", machine): [
            *(f"manylinux_2_{minor}_{machine}" for minor in range(39, 16, -1)),
            f"manylinux2014_{machine}",
        ]
        + [f"manylinux_2_{minor}_{machine}" for minor in range(16, 4, -1)]
        + [f"manylinux2010_{machine}", f"manylinux1_{machine}"]
        for machine in ("x86_64", "aarch64")
    },
    ("darwin", "arm64"): [f"macosx_{major}_0_{arch}" for major in range(26, 10, -1) for arch in ("arm64", "universal2")]
    + [f"macosx_10_{minor}_universal2" for minor in range(16, 3, -1)],
}


@dataclass(frozen=True)
class Wanted:
    """What one lock is made from.

    Attributes:
        requires: The packages, with versions.
        overrides: Versions that win over what packages ask for.
        excluded: Packages that others ask for without using them here.
        pythons: The versions of Python.
        source: A package without wheels, and what it depends on; it gets a file of its own.
        cpu: Whether torch is the build without CUDA on Linux.
    """

    requires: tuple[str, ...]
    overrides: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    pythons: tuple[str, ...] = PYTHONS
    source: str = ""
    cpu: bool = False


# HEBO 0.3.6 asks for numpy below 1.25 and pymoo 0.6.0, which have no wheels for newer Pythons; GPy and CatBoost are
# for surrogates that are not the default. 0.6.1.6 is the newest pymoo with which it was run.
HEBO = Wanted(
    requires=("HEBO==0.3.6", "torch==2.13.0"),
    overrides=("numpy>=2", "pymoo==0.6.1.6"),
    excluded=("GPy", "catboost", "setuptools"),
)
# The engine alone: the client `sigopt` spoke to a service that is gone. qmcpy 1.2 has no wheels; the child gives the
# engine the two sequences that it takes from it.
SIGOPT = Wanted(requires=("sigoptlite==0.1.2",), overrides=("numpy>=2",), excluded=("qmcpy", "setuptools"))
# It uses `np.int`, and its setup.py numpy.distutils.
DRAGONFLY = Wanted(
    requires=("dragonfly-opt==0.1.7", "numpy==1.23.5", "scipy<1.12", "setuptools==65.5.0", "wheel==0.38.4"),
    pythons=("3.10", "3.11"),
    source="dragonfly-opt",
)
LOCKS = {
    "nevergrad": Wanted(requires=("nevergrad==1.0.12",)),
    "hebo": HEBO,
    "hebo-cpu": Wanted(HEBO.requires, HEBO.overrides, HEBO.excluded, cpu=True),
    "sigopt": SIGOPT,
    "dragonfly": DRAGONFLY,
}
# The wheels of torch 2.13.0+cpu in PyTorch's own index of builds for CPUs, which is not the package index: SHA-256.
TORCH_CPU = {
    "3.10 linux aarch64": "f028e428bddee95cdb86e2470254e95c9af629362488550c200ed4793125a817",
    "3.11 linux x86_64": "6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",
    "3.11 linux aarch64": "84453b69508ec79902f899c5ed9495acb9e2bbe9fda5f1d5d6f19e3c3842e1a7",
    "3.12 linux x86_64": "4ca4a9394b0c771238a4f73590fdbbc4debad85ed0fa63d026ae1b085da7d6e2",
    "3.12 linux aarch64": "6f307c2c32d764ffc6ff6893b801fad6d4752f3e67966cb8abf1843427c02604",
    "3.13 linux x86_64": "3fbf9c9d1f3c10c2d59d04aca426dee9ccc6ceb32d255c61e93acc3b4f75fae6",
    "3.13 linux aarch64": "0b8f7d0423027ae8b90c7977c627f3379f325363a08224dffad9b4b2d684a83d",
}
TORCH_CPU_SIZE = 191_794_682
"""Of 3.11 on x86-64; the others are taken to be as large."""
CUDA = re.compile(r"nvidia-|cuda-|triton$")


def main() -> None:
    """Write all locks into the folder that is named."""
    folder = Path(sys.argv[1])
    sizes: dict[str, dict[str, int]] = {}
    for name, wanted in LOCKS.items():
        sizes |= write(name, wanted, folder)
    (folder / "sizes.json").write_text(json.dumps(sizes, indent=1) + "\n", encoding="utf-8")


def write(name: str, wanted: Wanted, folder: Path) -> dict[str, dict[str, int]]:
    """Write one lock; returns the bytes to be fetched, by Python and platform."""
    exported, files = resolve(name, wanted)
    lines: list[str] = []
    size = {f"{python} {system} {machine}": 0 for python in wanted.pythons for system, machine in PLATFORMS}
    for requirement, marker in exported:
        package = requirement.split("==")[0]
        if wanted.cpu and CUDA.match(package):
            continue
        if wanted.cpu and package == "torch":
            lines.append(entry(f"{requirement}+cpu", "", sorted(TORCH_CPU.values())))
            size = {key: total + TORCH_CPU_SIZE for key, total in size.items() if key in TORCH_CPU}
            continue
        if package == wanted.source:
            ((file, (digest, bytes_)),) = ((f, e) for f, e in files[requirement].items() if f.endswith(".tar.gz"))
            (folder / f"{name}.source.txt").write_text(f"{requirement} --hash=sha256:{digest}\n", encoding="utf-8")
            size = {key: total + bytes_ for key, total in size.items()}
            continue
        chosen = wheels_for(files[requirement], marker, wanted.pythons)
        for key, file in chosen.items():
            if key in size:
                size[key] += files[requirement][file][1]
        hashes = sorted({files[requirement][file][0] for file in compatible(files[requirement], wanted.pythons)})
        if chosen and hashes:
            lines.append(entry(requirement, marker, hashes))
    (folder / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    return {name: size}


def entry(requirement: str, marker: str, hashes: list[str]) -> str:
    """One requirement with its hashes, as pip reads it."""
    head = f"{requirement} ; {marker}" if marker else requirement
    return " \\\n    ".join([head, *(f"--hash=sha256:{digest}" for digest in hashes)]) + "\n"


def resolve(name: str, wanted: Wanted) -> tuple[list[tuple[str, str]], dict[str, dict[str, tuple[str, int]]]]:
    """Resolve by uv: requirements with their markers, and the files of each: name -> SHA-256 and size."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "pyproject.toml").write_text(project(name, wanted), encoding="utf-8")
        uv = ["uv", "--directory", folder]
        subprocess.run([*uv, "lock", "--quiet"], check=True)  # noqa: S603
        options = ["--format", "requirements-txt", "--no-emit-project", "--no-hashes", "--no-header", "--no-annotate"]
        export = [*uv, "export", "--quiet", *options]
        text = subprocess.run(export, check=True, capture_output=True, text=True).stdout  # noqa: S603
        lock = tomllib.loads(Path(folder, "uv.lock").read_text(encoding="utf-8"))
    files = {
        f"{package['name']}=={package['version']}": {
            unquote(Path(urlsplit(file["url"]).path).name): (file["hash"].removeprefix("sha256:"), file["size"])
            for file in [*package.get("wheels", []), *([package["sdist"]] if "sdist" in package else [])]
        }
        for package in lock["package"]
        if package["source"].get("registry")
    }
    parts = [line.split(" ; ") for line in text.splitlines() if "==" in line]
    return [(part[0].strip(), part[1].strip() if len(part) > 1 else "") for part in parts], files


def project(name: str, wanted: Wanted) -> str:
    """What uv resolves."""
    minor = int(wanted.pythons[-1].split(".")[1])
    text = f"""
[project]
name = "lock-{name}"
version = "0"
requires-python = ">={wanted.pythons[0]},<3.{minor + 1}"
dependencies = {json.dumps(list(wanted.requires))}
[tool.uv]
override-dependencies = {json.dumps(list(wanted.overrides))}
exclude-dependencies = {json.dumps(list(wanted.excluded))}
"""
    if wanted.source:  # so that its setup.py need not run to know it
        text += f"""[[tool.uv.dependency-metadata]]
name = "{wanted.source}"
version = "{wanted.requires[0].partition("==")[2]}"
requires-dist = ["future", "numpy", "scipy", "six"]
"""
    return text


def tags(python: str, platforms: list[str]) -> list[Tag]:
    """The tags of wheels that a Python on a platform takes, the best first."""
    version = tuple(map(int, python.split(".")))
    return [
        *cpython_tags(version, platforms=platforms),
        *compatible_tags(version, f"cp{version[0]}{version[1]}", platforms),
    ]


def best(files: dict[str, tuple[str, int]], python: str, platforms: list[str]) -> str | None:
    """The wheel that pip takes."""
    order = {tag: position for position, tag in enumerate(tags(python, platforms))}
    ranked = []
    for file in files:
        if file.endswith(".whl"):
            ranks = [order[tag] for tag in parse_wheel_filename(file)[3] if tag in order]
            ranked += [(min(ranks), file)] if ranks else []
    return min(ranked)[1] if ranked else None


def wheels_for(files: dict[str, tuple[str, int]], marker: str, pythons: tuple[str, ...]) -> dict[str, str]:
    """The wheel for each Python and platform for which the marker holds."""
    chosen: dict[str, str] = {}
    for python in pythons:
        for (system, machine), platforms in PLATFORMS.items():
            if holds(marker, python, system, machine):
                file = best(files, python, platforms)
                if file is None:
                    print(f"no wheel for {python} {system} {machine}: {sorted(files)[:1]}", file=sys.stderr)
                else:
                    chosen[f"{python} {system} {machine}"] = file
    return chosen


def holds(marker: str, python: str, system: str, machine: str) -> bool:
    """Whether a requirement applies."""
    here = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": system}
    here |= {
        "platform_machine": machine,
        "platform_system": system.title(),
        "platform_python_implementation": "CPython",
    }
    return not marker or Marker(marker).evaluate({**here, "implementation_name": "cpython", "os_name": "posix"})


def compatible(files: dict[str, tuple[str, int]], pythons: tuple[str, ...]) -> list[str]:
    """The wheels that some of the Pythons on some of the platforms takes."""
    known = {tag for python in pythons for platforms in PLATFORMS.values() for tag in tags(python, platforms)}
    return [file for file in files if file.endswith(".whl") and parse_wheel_filename(file)[3] & known]


if __name__ == "__main__":
    main()
