"""The pipe to a child process: what it may do wrong, and what becomes of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raytuner.search.bridge.child import MAX_LINE
from raytuner.search.bridge.process import Child, ChildError, environment


def child(code: str) -> Child:
    return Child([sys.executable, "-c", f"import json, os, sys, time\n{code}"])


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def until(condition: object, seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


ECHO = """
for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({"id": request["id"], "got": len(line)}), flush=True)
"""


def test_requests_are_answered_in_turn_and_the_folder_is_removed() -> None:
    found = child(ECHO)
    replies = [found.call({"op": "x" * length}, 20) for length in (1, 500_000, 2)]
    assert [reply["id"] for reply in replies] == [1, 2, 3]
    assert replies[1]["got"] > 500_000
    folder = Path(found._folder)
    assert folder.is_dir()
    found.close()
    found.close()
    assert not folder.exists()
    assert gone(found._process.pid)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("sys.stdin.readline(); sys.exit('no such library')", r"ended with code 1 \(no such library\)"),
        ("raise ImportError('libcuda')", r"ended with code 1 \(ImportError: libcuda\)"),
        ("sys.stdin.readline(); print('Welcome!'); time.sleep(60)", "no reply but b'Welcome!'"),
        ("sys.stdin.readline(); print('{\"id\": 7}', flush=True); time.sleep(60)", "no reply but"),
        ("sys.stdin.readline(); print('[1]', flush=True); time.sleep(60)", "no reply but"),
        ("sys.stdin.readline(); print('[' * 200_000, flush=True); time.sleep(60)", "no reply but"),
        ("sys.stdin.readline(); sys.stdout.write('x' * 3_000_000); time.sleep(60)", "more than 1,048,576 bytes"),
        ("sys.stdin.readline(); print('x' * 3_000_000); time.sleep(60)", "more than 1,048,576 bytes"),
        ("time.sleep(60)", "no answer in 0.5 s"),
        ("sys.stdin.readline()\nwhile True: sys.stderr.write('y' * 10_000)", "no answer in 0.5 s"),
        ("os.close(1); time.sleep(60)", "it closed its output and did not end in 1 s"),
    ],
)
def test_a_child_that_misbehaves_is_ended_with_a_reason(code: str, message: str) -> None:
    found = child(code)
    slow = "0.5 s" not in message
    with pytest.raises(ChildError, match=message):
        found.call({"op": "ask"}, 20 if slow else 0.5)
    assert gone(found._process.pid)
    assert len(found._errors) <= 4000


def test_a_failure_that_the_child_reports_does_not_end_it() -> None:
    found = child(
        'for line in sys.stdin: print(json.dumps({"id": json.loads(line)["id"], "error": "E: bad"}), flush=True)'
    )
    for _ in range(2):
        with pytest.raises(ChildError, match="reports E: bad"):
            found.call({"op": "ask"}, 20)
    found.close()


def test_a_request_over_the_limit_is_not_sent() -> None:
    found = child(ECHO)
    with pytest.raises(ChildError, match="a request has"):
        found.call({"op": "x" * MAX_LINE}, 20)


def test_a_child_that_does_not_read_holds_up_nobody() -> None:
    found = child("time.sleep(60)")
    started = time.monotonic()
    with pytest.raises(ChildError, match="no answer in 1 s"):
        found.call({"op": "x" * 900_000}, 1)
    assert time.monotonic() - started < 5


def test_what_is_no_program_is_an_error() -> None:
    with pytest.raises(ChildError, match="No such file"):
        Child(["/no/such/python"])


def test_the_child_ends_with_its_parent() -> None:
    code = (
        "import sys, time\n"
        "from raytuner.search.bridge.process import Child\n"
        "from raytuner.search.bridge.searcher import CHILD, LIBRARIES\n"
        "found = Child([sys.executable, str(CHILD), str(LIBRARIES)])\n"
        "print(found._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    assert not gone(pid)
    parent.kill()
    parent.wait()
    assert until(lambda: gone(pid))


def test_secrets_stay_with_the_parent() -> None:
    given = {"PATH": "/bin", "OPENAI_API_KEY": "sk-1", "PYTHONPATH": "/x", "HTTPS_PROXY": "http://a:b@c", "LANG": "C"}
    found = environment(given, "/tmp/folder")
    assert found["PATH"] == "/bin"
    assert found["LANG"] == "C"
    assert found["HOME"] == "/tmp/folder"
    assert found["OMP_NUM_THREADS"] == "1"
    assert not {"OPENAI_API_KEY", "PYTHONPATH", "HTTPS_PROXY"} & set(found)
    assert "sk-1" not in " ".join(found.values())


def test_a_child_has_no_more_open_files_than_its_pipes() -> None:
    with Path(os.devnull).open() as held:
        os.set_inheritable(held.fileno(), True)
        found = child(
            'sys.stdin.readline(); print(json.dumps({"id": 1, "files": sorted(os.listdir("/proc/self/fd"))}))'
        )
        files = found.call({}, 20)["files"]
    assert len(files) <= 4  # the three and the listing itself
