"""Environments of algorithms: made from hashes alone, whole or not at all, and what is said of damaged ones."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import stat
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from raytuner.cli import cli
from raytuner.errors import SearchError
from raytuner.search import ALGORITHMS
from raytuner.search.bridge import environment
from raytuner.search.bridge.environment import RUNNING, SYSTEMS, Lock, install, is_installed, plan_install, python_of
from raytuner.search.bridge.install import has, python_version
from raytuner.search.bridge.systems import MAKERS, check_runs

LOCKS = [lock for locks in SYSTEMS.values() for lock in locks]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_locks_pin_everything_by_hash_and_name_no_index(lock: Lock) -> None:
    for path in lock.files:
        text = path.read_text(encoding="utf-8").replace("\\\n", " ")
        assert "://" not in text
        assert "--index" not in text
        for line in text.splitlines():
            assert re.match(r"[a-z0-9-]+==[\w.+]+( ; [^-]+)?(\s+--hash=sha256:[0-9a-f]{64})+$", line), line


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_locks_know_what_they_cost(lock: Lock) -> None:
    sizes = json.loads((environment.LOCKS / "sizes.json").read_text(encoding="utf-8"))[lock.name]
    assert all(10_000_000 < size < 4_000_000_000 for size in sizes.values())
    for python in lock.pythons or ("3.10", "3.11", "3.12", "3.13"):
        for place in ("linux x86_64", "linux aarch64", "darwin arm64"):
            # Neither a Mac nor, as far as is known here, Python 3.10 on x86-64 has a build of its own for CPUs.
            known = lock.name != "hebo-cpu" or (place != "darwin arm64" and (python, place) != ("3.10", "linux x86_64"))
            assert (f"{python} {place}" in sizes) == known


def test_there_is_a_lock_for_every_algorithm() -> None:
    assert MAKERS.keys() == SYSTEMS.keys() <= ALGORITHMS.keys()


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock `toy` of one wheel, an index that has nothing else, and an empty cache."""
    wheels, locks = tmp_path / "wheels", tmp_path / "locks"
    wheels.mkdir()
    locks.mkdir()
    wheel = wheels / "toylib-1.0-py3-none-any.whl"
    files = {
        "toylib.py": b"answer = 42\n",
        "toylib-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: toylib\nVersion: 1.0\n",
        "toylib-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},sha256={_digest(data)},{len(data)}\n" for name, data in files.items())
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        archive.writestr("toylib-1.0.dist-info/RECORD", record + "toylib-1.0.dist-info/RECORD,,\n")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    (locks / "toy.txt").write_text(f"toylib==1.0 \\\n    --hash=sha256:{digest}\n")
    here = f"{RUNNING} {sys.platform} {environment.platform.machine()}"
    (locks / "sizes.json").write_text(json.dumps({"toy": {here: 1_500_000}}))
    monkeypatch.setattr(environment, "LOCKS", locks)
    monkeypatch.setitem(SYSTEMS, "toy", (Lock("toy"),))
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("RAYTUNER_CACHE", str(tmp_path / "cache"))
    return tmp_path


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def imports(python: Path) -> None:
    import subprocess

    run = subprocess.run([str(python), "-c", "import toylib; print(toylib.answer)"], capture_output=True, check=False)
    if run.stdout != b"42\n":
        raise SearchError("it does not answer")


def test_an_environment_is_made_whole_and_found_again(local: Path) -> None:
    assert not is_installed("toy")
    folder = install(plan_install("toy", has), imports)
    assert folder.parent == local / "cache" / "algorithms"
    assert stat.S_IMODE(folder.stat().st_mode) == stat.S_IMODE(folder.parent.stat().st_mode) == 0o700
    assert is_installed("toy")
    imports(python_of("toy"))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    (folder / "lib").rename(folder / "elsewhere")  # damaged
    with pytest.raises(SearchError):
        imports(python_of("toy"))
    assert install(plan_install("toy", has), imports) == folder
    imports(python_of("toy"))
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_one_that_fails_its_check_leaves_nothing(local: Path) -> None:
    def fails(python: Path) -> None:
        raise SearchError("no")

    with pytest.raises(SearchError, match=r"^no$"):
        install(plan_install("toy", has), fails)
    assert not is_installed("toy")
    assert list((local / "cache" / "algorithms").iterdir()) == []


def test_another_file_than_the_pinned_one_is_not_installed(local: Path) -> None:
    wheel = local / "wheels" / "toylib-1.0-py3-none-any.whl"
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    with pytest.raises(SearchError, match=r"could not install 'toy': .*(HASHES|hash)"):
        install(plan_install("toy", has), imports)
    assert not is_installed("toy")


def test_a_lock_that_was_raised_is_another_environment(local: Path) -> None:
    install(plan_install("toy", has), imports)
    with (local / "locks" / "toy.txt").open("a") as file:
        file.write("# raised\n")
    SYSTEMS["toy"] = (Lock("toy"),)  # the hash of a lock is kept with it
    assert not is_installed("toy")


def test_damage_is_said_in_a_line(local: Path) -> None:
    with pytest.raises(SearchError) as caught:
        python_of("toy")
    assert str(caught.value) == (
        "search 'toy' runs in an environment of its own, which is not there; "
        "`raytuner algorithms --install toy` (2 MB to fetch)"
    )
    folder = install(plan_install("toy", has), imports)
    (folder / "bin" / "python").unlink()
    with pytest.raises(SearchError, match=r"has no bin/python; make it anew by `raytuner algorithms --install toy`$"):
        python_of("toy")
    (folder / environment.MANIFEST).write_text("half a manif")
    assert not is_installed("toy")


def test_an_environment_without_the_library_is_damaged(local: Path) -> None:
    folder = install(plan_install("toy", has), imports)
    with pytest.raises(SearchError) as caught:
        check_runs("nevergrad", folder / "bin" / "python")
    assert str(caught.value) == (
        "the environment of search 'nevergrad' does not work: it reports ModuleNotFoundError: No module named "
        "'nevergrad'; make it anew by `raytuner algorithms --install nevergrad`"
    )


def test_fetching_can_be_forbidden(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTUNER_OFFLINE", "1")
    with pytest.raises(SearchError, match="RAYTUNER_OFFLINE forbids fetching what 'toy' needs"):
        install(plan_install("toy", has), imports)


def test_the_smaller_lock_is_taken_where_the_index_has_it(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def index(python: str, requirement: str) -> bool:
        asked.append(requirement)
        return requirement == "toylib==1.0"

    monkeypatch.setitem(SYSTEMS, "toy", (Lock("toy", probe="toylib==9.9"), Lock("toy")))
    assert plan_install("toy", index).lock.probe == ""
    assert (
        plan_install("toy", index).hint
        == "(only 2 MB if pip has an index with toylib==9.9, e.g. by PIP_EXTRA_INDEX_URL)"
    )
    monkeypatch.setitem(SYSTEMS, "toy", (Lock("toy", probe="toylib==1.0"), Lock("toy")))
    assert plan_install("toy", index).lock.probe == "toylib==1.0"
    assert plan_install("toy", index).hint == ""
    assert has(sys.executable, "toylib==1.0")
    assert not has(sys.executable, "toylib==9.9")


def test_an_older_python_is_looked_for_and_a_shim_is_none(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = local / "bin"
    folder.mkdir()
    for name, code in (("python3.8", "exit 127"), ("python3.9", 'echo "3.9"')):
        (folder / name).write_text(f"#!/bin/sh\n{code}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    assert python_version(str(folder / "python3.8")) is None
    sizes = {f"3.9 {sys.platform} {environment.platform.machine()}": 1}
    (local / "locks" / "sizes.json").write_text(json.dumps({"toy": sizes}))
    monkeypatch.setitem(SYSTEMS, "toy", (Lock("toy", pythons=("3.8", "3.9")),))
    plan = plan_install("toy", has)
    assert (plan.version, plan.python) == ("3.9", str(folder / "python3.9"))
    monkeypatch.setitem(SYSTEMS, "toy", (Lock("toy", pythons=("3.8",)),))
    with pytest.raises(SearchError) as caught:
        plan_install("toy", has)
    assert str(caught.value) == f"search 'toy' needs Python 3.8, this one is {RUNNING}; put a python3.8 on the PATH"


def test_a_machine_without_wheels_is_told_so(local: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.platform, "machine", lambda: "riscv64")
    with pytest.raises(SearchError, match=r"search 'toy' has no wheels for Python \d\.\d+ on \w+ riscv64; use Python"):
        plan_install("toy", has)


def test_the_command_says_what_is_fetched_and_asks(local: Path) -> None:
    done = CliRunner().invoke(cli, ["algorithms", "--install", "toy"])
    folder = plan_install("toy", has).folder
    assert done.output == f"toy: 1 packages for Python {RUNNING}, 2 MB to fetch\ninto {folder}\n"
    assert str(done.exception) == "nothing was fetched, since nobody could be asked; add --yes"
    assert not folder.exists()


def test_the_command_knows_what_needs_no_environment() -> None:
    done = CliRunner().invoke(cli, ["algorithms", "--install", "heboo"])
    assert str(done.exception).startswith("unknown search algorithm 'heboo'; did you mean 'hebo'?")
    done = CliRunner().invoke(cli, ["algorithms", "--install", "auto"])
    assert str(done.exception) == "search 'auto' needs no environment of its own, it can be used as it is"
