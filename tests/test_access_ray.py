"""Nobody reaches the Ray of a search without its token."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

STARTED = """
import sys
from raytuner import runtime
runtime.connect()
import ray
print(ray.get_runtime_context().gcs_address, ray._private.worker._global_node.get_session_dir_path(), flush=True)
sys.stdin.read()
"""
JOINED = """
import sys
from raytuner import runtime
from raytuner.errors import RaytunerError
try:
    runtime.connect(sys.argv[1])
except RaytunerError as error:
    print("refused:", error)
else:
    print("joined")
"""


@pytest.fixture(scope="module")
def started() -> Iterator[tuple[str, str]]:
    """The address of a Ray that raytuner has started, and its session folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", STARTED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout is not None
    address, folder = process.stdout.readline().split()
    yield address, folder
    process.communicate("", timeout=30)


def joined(address: str, **environment: str) -> tuple[str, float]:
    began = time.monotonic()
    command = [sys.executable, "-c", JOINED, address]
    given = {**os.environ, **environment}
    done = subprocess.run(command, env=given, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip(), time.monotonic() - began


def test_with_the_token(started: tuple[str, str]) -> None:
    assert joined(started[0])[0] == "joined"


@pytest.mark.parametrize("environment", [{"RAY_AUTH_TOKEN": "0" * 64}, {"RAY_AUTH_MODE": "disabled"}])
def test_without_it_there_is_a_clear_error_and_no_hang(started: tuple[str, str], environment: dict[str, str]) -> None:
    said, seconds = joined(started[0], **environment)
    assert said.startswith("refused: ")
    assert said.count("\n") == 0
    assert "token" in said.lower()
    assert seconds < 20


def test_its_session_is_private(started: tuple[str, str]) -> None:
    assert Path(started[1]).parent.parent.stat().st_mode & 0o077 == 0
