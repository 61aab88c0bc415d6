"""What is noticed when the head is gone, and what is said then."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from raytuner import head
from raytuner.head import Server, await_all, farewell, greet, watched


class Greeting:
    """A server that begins as gRPC does, until it is closed."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            with client:
                client.sendall(head.SETTINGS)
                client.recv(100)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(head, "LOOK_S", 0.05)
    monkeypatch.setattr(head, "ANSWER_S", 0.5)


def test_a_server_that_is_gone_is_noticed_once_and_not_before(quick: None) -> None:
    server, lost = Greeting(), []
    greet(server.address, 5)
    needed = Server("the head", server.address, 0.3)
    with watched([needed], lost.append):
        time.sleep(0.6)
        assert not lost
        server.close()
        end = time.monotonic() + 20
        while not lost and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.3)
    assert lost == [needed]


def test_a_server_that_is_only_slow_is_not_lost(quick: None) -> None:
    lost: list[Server] = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        needed = Server("the node", f"127.0.0.1:{silent.getsockname()[1]}", 0.3)
        with watched([needed], lost.append):
            time.sleep(1.5)
    assert not lost


def test_what_was_needed_may_end_afterwards(quick: None) -> None:
    server, lost = Greeting(), []
    with watched([Server("the head", server.address, 0.1)], lost.append):
        pass
    server.close()
    time.sleep(0.5)
    assert not lost


def test_a_server_that_answers_again_is_waited_for(quick: None) -> None:
    server = Greeting()
    await_all([Server("the head", server.address, 0.5)])
    server.close()
    began = time.monotonic()
    await_all([Server("the head", server.address, 0.5)])
    assert 1.0 <= time.monotonic() - began < 10, "and no longer than until it counts as lost"


def test_how_to_go_on_is_said(tmp_path: Path) -> None:
    server = Server("the head of the Ray cluster", "10.0.0.1:6379", 30.0)
    said = "the head of the Ray cluster, 10.0.0.1:6379, has not answered for 30 s: the search cannot go on"
    assert farewell(server, None) == said
    assert farewell(server, tmp_path).startswith(f"{said}; what was finished is kept: raytuner show {tmp_path}")
    (tmp_path / "config.yaml").touch()
    assert f"raytuner resume {tmp_path} --address local" in farewell(server, tmp_path)


def test_the_process_ends_whatever_its_main_thread_waits_for() -> None:
    code = "import threading, time\nfrom raytuner import head\n"
    code += "threading.Timer(0.1, head.end, ['it is gone']).start()\ntime.sleep(60)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (1, "\nerror: it is gone\n")
