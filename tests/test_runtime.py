"""What needs no running Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from raytuner import runtime


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    return tmp_path


def test_the_token_is_only_its_owners(home: Path) -> None:
    runtime._ensure_token()
    token = home / ".ray" / "auth_token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert len(token.read_text()) == 64
    before = token.read_text()
    runtime._ensure_token()
    assert token.read_text() == before


def test_a_given_token_is_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    runtime._ensure_token()
    assert not (home / ".ray").exists()


def test_without_a_writable_home_the_token_is_in_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".ray").write_text("in the way")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    runtime._ensure_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    monkeypatch.delenv("RAY_AUTH_TOKEN")


def test_ray_client_addresses_are_refused() -> None:
    code = (
        "from raytuner import runtime\nfrom raytuner.errors import ConfigError\n"
        "try:\n    runtime.connect('ray://127.0.0.1:10001')\nexcept ConfigError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "Ray Client is not supported" in done.stdout


def test_usage_statistics_are_off() -> None:
    assert runtime.ENVIRONMENT["RAY_USAGE_STATS_ENABLED"] == "0"
