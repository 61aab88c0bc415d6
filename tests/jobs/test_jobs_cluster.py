"""Connecting to a job server: what is no such server, and what it refuses, is said in one line and soon."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import ray
import requests
from click.testing import CliRunner

from raytuner.cli import cli
from raytuner.errors import ClusterError, UserError
from raytuner.jobs import cluster
from raytuner.jobs.cluster import answered, check_python, connect

TOKEN = "the-token-of-the-cluster"
Serve = Callable[..., str]


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers that answer as Ray's job server does, or not quite."""
    servers: list[ThreadingHTTPServer] = []

    def start(
        version: str = ray.__version__, token: str | None = None, text: str | None = None, wait: float = 0
    ) -> str:
        seen: list[str | None] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                given = self.headers.get("Authorization")
                seen.append(given)
                time.sleep(wait)
                status, body = 200, text or json.dumps({"version": "4", "ray_version": version})
                if token is not None and given != f"Bearer {token}":
                    status, body = (401 if given is None else 403), "Unauthorized: Missing authentication token"
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        start.seen = seen  # type: ignore[attr-defined]
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def refused(address: str | None) -> str:
    """Why no connection is made; in one line, and within ten seconds."""
    started = time.monotonic()
    with pytest.raises(ClusterError) as caught:
        connect(address)
    assert time.monotonic() - started < 10
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_cluster_without_tokens(serve: Serve) -> None:
    found = connect(serve() + "/")
    assert found.protected is False
    assert not found.address.endswith("/")


def test_a_cluster_with_tokens_is_known_by_what_it_refuses(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    found = connect(serve(token=TOKEN))
    assert found.protected is True
    assert serve.seen[0] is None  # type: ignore[attr-defined]


def test_a_token_goes_to_no_server_that_does_not_ask_for_it(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    refused(serve(text="<html>hello</html>"))
    assert serve.seen == [None]  # type: ignore[attr-defined]
    connect(serve())
    assert set(serve.seen) <= {None, ""}  # type: ignore[attr-defined]


@pytest.mark.parametrize("place", ["variable", "file", "home"])
def test_the_token_is_found_where_ray_looks_for_it(
    serve: Serve, place: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if place == "variable":
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    else:
        path = tmp_path / ("token" if place == "file" else ".ray/auth_token")
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{TOKEN}\n")
        if place == "file":
            monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(path))
        path.chmod(0o644)
        with pytest.raises(UserError, match="others can read this token"):
            connect(serve(token=TOKEN))
        path.chmod(0o600)
    assert connect(serve(token=TOKEN)).protected


def test_a_server_that_wants_a_password_gets_no_token(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
    monkeypatch.setattr(cluster, "ASKS_FOR_TOKEN", "as Ray asks")
    assert "no job server of Ray (status 401)" in refused(serve(token=TOKEN))
    assert serve.seen == [None]  # type: ignore[attr-defined]


def test_no_token(serve: Serve) -> None:
    message = refused(serve(token=TOKEN))
    assert "the cluster wants a token, and there is none here" in message
    assert "RAY_AUTH_TOKEN_PATH" in message


def test_a_token_file_that_is_not_there(serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    assert f"RAY_AUTH_TOKEN_PATH {tmp_path}/none: No such file or directory" in refused(serve(token=TOKEN))


def test_a_wrong_token(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "another-token")
    message = refused(serve(token=TOKEN))
    assert "the cluster refuses the token" in message
    assert "another-token" not in message


def test_nobody_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    message = refused(address)
    assert message.startswith(f"{address}: no job server answers there (")
    assert "Connection refused" in message


def test_a_server_that_says_nothing(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "ANSWER_S", 2.0)
    assert "no job server answers there (" in refused(serve(wait=30))


def test_a_host_that_does_not_exist() -> None:
    assert "no job server answers there (" in refused("http://no-such-host.invalid:8265")


@pytest.mark.parametrize("text", ["<html>hello</html>", "[]", '{"version": "4"}'])
def test_something_else_answers(serve: Serve, text: str) -> None:
    assert "what answers there is no job server of Ray (status 200)" in refused(serve(text=text))


def test_another_version_of_ray_names_both(serve: Serve) -> None:
    message = refused(serve(version="2.40.0"))
    assert f"the cluster runs Ray 2.40.0, here is Ray {ray.__version__}" in message
    assert "pip install 'ray[default,tune]==2.40.0'" in message


def test_another_version_of_python_names_both(serve: Serve) -> None:
    metadata = {"rayVersion": ray.__version__, "pythonVersion": "3.8.20"}
    found = connect(serve(text=json.dumps({"ray_version": ray.__version__, "data": metadata})))
    assert found.python == "3.8.20"
    with pytest.raises(ClusterError, match=r"the cluster runs Python 3\.8\.20, here is Python 3\.1.*with Python 3\.8$"):
        check_python(found)
    check_python(found._replace(python=f"{sys.version_info.major}.{sys.version_info.minor}.99"))
    check_python(connect(serve()))  # which does not say it


@pytest.mark.parametrize(
    "command", ["submit rag.yaml", "jobs list", "jobs logs rag", "jobs fetch rag", "jobs stop rag"]
)
def test_each_command_names_a_server_that_is_gone(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rag.yaml").write_text("documents: builtin:quickstart\nquestions: builtin:quickstart\n")
    found = CliRunner().invoke(cli, [*command.split(), "--address", "http://127.0.0.1:9"])
    assert isinstance(found.exception, ClusterError)
    assert str(found.exception).startswith("http://127.0.0.1:9: no job server answers there (")


@pytest.mark.parametrize(
    "address",
    ["head:8265", "ray://head:10001", "auto", "ftp://head", "http://", "http://head:port", "http://head:99999"],
)
def test_what_is_no_address_of_a_job_server(address: str) -> None:
    assert "write http://HOST:8265" in refused(address)


def test_an_address_with_a_password_is_not_shown() -> None:
    assert "hunter2" not in refused("ftp://me:hunter2@head")
    assert refused("http://me:hunter2@head:8265").startswith("address ...@head: job servers take no password")


def test_the_address_that_is_given_is_the_one_that_is_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own client would go to that of its variables."""
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:9")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:9")
    address = serve()
    found = connect(address)
    assert found.client._address == address
    assert "127.0.0.1:9:" in refused(None)


@pytest.mark.parametrize("name", ["RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"])
def test_without_an_address_rays_variables_say_it(serve: Serve, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = serve()
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")  # that of a node, which is no job server
    monkeypatch.setenv(name, address)
    assert connect().address == address


def test_rays_client_that_lacks_something_says_what_to_install(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.dashboard.modules.job.sdk.requests", None)
    assert "pip install 'raytuner[cluster]'" in refused(serve())


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (requests.ConnectionError("refused"), "no job server answers there"),
        (
            RuntimeError("Request failed with status code 500: Traceback:\n  File x\nKeyError: 'agent'"),
            "KeyError: 'agent'",
        ),
        (RuntimeError(""), "RuntimeError"),
        (ray.exceptions.AuthenticationError("Forbidden"), "refuses the token now"),
    ],
)
def test_what_goes_wrong_later_is_one_line(error: Any, message: str) -> None:
    with pytest.raises(ClusterError, match=message) as caught, answered("http://head:8265"):
        raise error
    assert "\n" not in str(caught.value)
