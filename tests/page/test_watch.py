"""The server of a run that goes on."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer
from made_run import make_run

from raytuner.page.watch import Watched, application
from raytuner.run_folder import RUN, holding

TOKEN = "secret"


def asked(run: Path, *requests: tuple[str, dict[str, str]]) -> list[tuple[int, str]]:
    """Status and text of some requests."""

    async def ask() -> list[tuple[int, str]]:
        async with TestClient(TestServer(application(Watched(run, texts=False), TOKEN))) as client:
            found = []
            for path, headers in requests:
                response = await client.get(path, headers=headers)
                found.append((response.status, await response.text()))
            return found

    return asyncio.run(ask())


def test_it_serves_the_page_and_its_data(run: Path) -> None:
    (status, text), (data_status, data) = asked(run, (f"/{TOKEN}/", {}), (f"/{TOKEN}/data.json", {}))
    assert (status, data_status) == (200, 200)
    assert "Content-Security-Policy" in text
    assert json.loads(data)["runs"][0]["answer"]["headline"].startswith("Take trial")


def test_nothing_is_sent_while_nothing_has_changed(run: Path) -> None:
    from urllib.parse import quote

    seen = Watched(run, texts=False).seen
    (status, text), (other, _) = asked(
        run, (f"/{TOKEN}/data.json?seen={quote(seen)}", {}), (f"/{TOKEN}/data.json?seen=older", {})
    )
    assert (status, text, other) == (204, "", 200)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "localhost.evil.example", "10.0.0.1", "127.0.0.1:abc"]
)
def test_other_names_of_this_server_get_nothing(run: Path, host: str) -> None:
    ((status, text),) = asked(run, (f"/{TOKEN}/", {"Host": host}))
    assert status == 403
    assert "Take trial" not in text


def test_who_does_not_know_the_address_gets_nothing(run: Path) -> None:
    assert [status for status, _ in asked(run, ("/", {}), ("/data.json", {}), ("/other/", {}))] == [404, 404, 404]


def test_a_running_run_is_live_and_its_end_is_seen(tmp_path: Path) -> None:
    run = make_run(tmp_path / "made", trials=5, ended=False)
    watched = Watched(run)
    with holding(run):
        before = watched.report()
        assert before["live"]
        assert "still going on" in before["runs"][0]["questions"]["texts"]["why_none"]
        assert watched.report() is before  # nothing has changed
    after = watched.report()
    assert not after["live"]
    assert after["seen"] != before["seen"]
    assert after["runs"][0]["questions"]["texts"]["why_none"] is None


def test_a_folder_that_is_damaged_meanwhile_is_said(tmp_path: Path) -> None:
    run = make_run(tmp_path / "made", trials=3)
    (run / RUN).write_text("{")
    ((status, text),) = asked(run, (f"/{TOKEN}/", {}))
    assert status == 503
    assert RUN in text


@pytest.fixture
def served(run: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command, and the address that it prints."""
    command = [sys.executable, "-m", "raytuner", "watch", str(run), "--no-texts"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().split()[0]
        process.kill()


@pytest.mark.slow
def test_the_command_listens_on_loopback_until_ctrl_c(served: tuple[subprocess.Popen[str], str]) -> None:
    process, address = served
    assert address.startswith("http://127.0.0.1:")
    with urllib.request.urlopen(address, timeout=30) as response:
        assert response.headers["X-Frame-Options"] == "DENY"
        assert b"Take trial" in response.read()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(address.rsplit("/", 2)[0] + "/", timeout=30)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert process.stderr is not None
    assert process.stderr.read().strip() == "interrupted"
