"""What needs no running Ray."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from raytuner import head, ray_access, runtime
from raytuner.cli import cli
from raytuner.errors import ConfigError, UserError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    return tmp_path


def test_the_token_is_only_its_owners(home: Path) -> None:
    ray_access.ensure_token()
    token = home / ".ray" / "auth_token"
    assert token.stat().st_mode & 0o777 == 0o600
    assert len(token.read_text()) == 64
    before = token.read_text()
    ray_access.ensure_token()
    assert token.read_text() == before


def test_a_token_that_others_can_read_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray_access.ensure_token()
    token = home / ".ray" / "auth_token"
    token.chmod(0o644)
    with pytest.raises(UserError, match=rf"{token}: others can read this token.*chmod 600 {token}"):
        ray_access.ensure_token()
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    with pytest.raises(UserError, match="chmod 600"):
        ray_access.ensure_token()
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "none"))
    with pytest.raises(UserError, match=r"RAY_AUTH_TOKEN_PATH: .*none is no file"):
        ray_access.ensure_token()


def test_the_folder_of_sessions_is_private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = Path(tempfile.mkdtemp(prefix="r"))
    monkeypatch.setattr("tempfile.tempdir", str(short))
    folder = ray_access.temporary_folder()
    assert folder.is_relative_to(short)
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    folder.parent.chmod(0o755)
    with pytest.raises(UserError, match="not a private folder of yours"):
        ray_access.temporary_folder()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("long" * 10)))
    assert ray_access.temporary_folder().is_relative_to("/tmp")  # sockets need short paths
    shutil.rmtree(short)


def test_a_given_token_is_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "given")
    ray_access.ensure_token()
    assert not (home / ".ray").exists()


def test_without_a_writable_home_the_token_is_in_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".ray").write_text("in the way")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "")
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    ray_access.ensure_token()
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    monkeypatch.delenv("RAY_AUTH_TOKEN")


def test_ray_client_addresses_are_refused() -> None:
    code = (
        "from raytuner import runtime\nfrom raytuner.errors import ConfigError, UserError\n"
        "try:\n    runtime.connect('ray://127.0.0.1:10001')\nexcept ConfigError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "Ray Client is not used; raytuner.submit runs a search in the cluster" in done.stdout


def test_an_address_where_nobody_listens_is_an_error_at_once() -> None:
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9.*nobody answers"):
        head.check_address("127.0.0.1:9")
    with pytest.raises(ConfigError, match="correct the address"):
        head.check_address("127.0.0.1:99999")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(ConfigError, match=r"nobody answers there \(timed out\)"):
            head.check_address(f"127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - began < 8
    head.check_address(None)
    head.check_address("local")
    head.check_address("auto")


def test_an_address_of_something_else_is_an_error_at_once() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(ConfigError, match="what listens there is no head of Ray"):
        head.check_address(f"127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("host", ["no-such-host.invalid", "127.0.0.1"])
def test_commands_name_an_address_where_nobody_answers(host: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"{host}:{silent.getsockname()[1]}"
        (tmp_path / "rag.yaml").write_text("documents: builtin:quickstart\nquestions: builtin:quickstart\n")
        found = CliRunner().invoke(cli, ["tune", str(tmp_path / "rag.yaml"), "-q", "--address", address])
    assert isinstance(found.exception, ConfigError)
    assert f"address '{address}': nobody answers there" in str(found.exception)


def test_auto_is_where_rays_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1:9.*nobody answers"):
        head.check_address("auto")
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:10001")
    with pytest.raises(ConfigError, match="Ray Client is not used"):
        head.check_address("auto")


def test_a_ray_that_asks_for_no_token_is_not_started(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    with pytest.raises(UserError, match=r"RAY_AUTH_MODE is 'disabled', so anybody .*; unset it"):
        ray_access.require_token()
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    ray_access.require_token()
    token = home / ".ray" / "auth_token"
    token.parent.mkdir(parents=True, exist_ok=True)
    token.write_text("\n")
    token.chmod(0o600)
    with pytest.raises(UserError, match="is empty"):
        ray_access.ensure_token()


def test_usage_statistics_are_off() -> None:
    assert ray_access.ENVIRONMENT["RAY_USAGE_STATS_ENABLED"] == "0"


@pytest.mark.parametrize(
    ("nodes", "concurrency", "resources", "number", "share"),
    [
        ([{"cpu": 2}], None, None, 2, {"cpu": 1}),
        ([{"cpu": 2}], 1, None, 1, {"cpu": 2}),
        ([{"cpu": 8}], 3, None, 3, {"cpu": 2}),
        ([{"cpu": 1}, {"cpu": 1}], 1, None, 1, {"cpu": 1}),
        ([{"cpu": 4}, {"cpu": 2}, {}], None, None, 6, {"cpu": 1}),
        ([{"cpu": 3}, {"cpu": 3}], None, {"cpu": 2}, 2, {"cpu": 2}),
        ([{"cpu": 4, "gpu": 1}, {"cpu": 4}], 9, {"CPU": 1, "Gpu": 1}, 1, {"cpu": 1, "gpu": 1}),
        ([{"cpu": 1, "fast": 0.6}], 9, {"fast": 0.2}, 3, {"fast": 0.2}),
        ([{"cpu": 1, "accelerator_type:T4": 1}], 1, {"accelerator_type:T4": 0.001}, 1, {"accelerator_type:T4": 0.001}),
    ],
)
def test_slots_are_counted_node_by_node(
    monkeypatch: pytest.MonkeyPatch,
    nodes: list[dict[str, float]],
    concurrency: int | None,
    resources: dict[str, float] | None,
    number: int,
    share: dict[str, float],
) -> None:
    monkeypatch.setattr(runtime, "_nodes", lambda: nodes)
    assert runtime.slots(concurrency, resources) == (number, share)


def test_resources_that_fit_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_nodes", lambda: [{"cpu": 1}, {"cpu": 1}])
    with pytest.raises(ConfigError, match="fit on no node"):
        runtime.slots(None, {"cpu": 2})
    monkeypatch.setattr(runtime, "_nodes", lambda: [{"cpu": 1, "fast": 1}])
    with pytest.raises(ConfigError, match=r"resources_per_trial \{'Fast': 1\} fit on no node; the nodes have .*'fast'"):
        runtime.slots(None, {"Fast": 1})  # Ray's own names are with and without capitals, others as they are
    with pytest.raises(ConfigError, match="at least 1"):
        runtime.slots(0, None)


def test_the_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNE_MAX_PENDING_TRIALS_PG", "7")
    monkeypatch.delenv("TUNE_GLOBAL_CHECKPOINT_S", raising=False)
    with runtime._quiet_tune(2):
        assert os.environ["TUNE_MAX_PENDING_TRIALS_PG"] == "2"
        assert "TUNE_GLOBAL_CHECKPOINT_S" in os.environ
    assert os.environ["TUNE_MAX_PENDING_TRIALS_PG"] == "7"
    assert "TUNE_GLOBAL_CHECKPOINT_S" not in os.environ
