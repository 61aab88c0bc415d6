"""cluster/local.sh with a stand-in for Ray: what it refuses, and that it leaves nothing behind."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "cluster" / "local.sh"
FAKE = Path(__file__).parent / "fake_ray.py"
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="Ray has clusters of several nodes on Linux only"),
    pytest.mark.timeout(120),
]


class Cluster(NamedTuple):
    """A folder for a cluster, and an environment in which `ray` is the stand-in."""

    folder: Path
    environment: dict[str, str]

    def command(self, *arguments: str) -> list[str]:
        return [str(SCRIPT), *arguments, "--dir", str(self.folder)]

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    @property
    def nodes(self) -> Path:
        return Path(self.environment["FAKE_RAY"])

    def processes(self) -> list[str]:
        done = subprocess.run(["pgrep", "-f", f"{self.folder}/"], capture_output=True, text=True, check=False)
        return done.stdout.split()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """The path of a socket is short, so the folder is not in that of the test."""
    scratch = Path(tempfile.mkdtemp(prefix="rt", dir="/tmp"))
    programs, nodes = tmp_path / "bin", tmp_path / "nodes"
    programs.mkdir()
    nodes.mkdir()
    ray = programs / "ray"
    ray.write_text(f"#!{sys.executable}\n{FAKE.read_text(encoding='utf-8')}", encoding="utf-8")
    ray.chmod(0o755)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    made = Cluster(
        scratch / "c", {**clean, "FAKE_RAY": str(nodes), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    )
    yield made
    made.run("down")
    shutil.rmtree(scratch)


def test_the_script_has_no_faults() -> None:
    check = [str(Path(sys.executable).parent / "shellcheck"), str(SCRIPT)]
    done = subprocess.run(check, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout


def test_up_and_down(cluster: Cluster) -> None:
    up = cluster.run("up", "--workers", "3")
    assert up.returncode == 0, up.stderr
    assert sorted(node.name for node in cluster.nodes.iterdir()) == ["head", "w1", "w2", "w3"]
    assert f"{SCRIPT} down --dir {cluster.folder}" in up.stdout
    assert cluster.run("status").returncode == 0
    down = cluster.run("down")
    assert (down.returncode, down.stdout, cluster.processes()) == (0, "stopped\n", [])
    assert not cluster.folder.exists()


def test_the_folder_and_the_token_are_closed_to_others(cluster: Cluster) -> None:
    assert cluster.run("up").returncode == 0
    token = cluster.folder / "token"
    assert cluster.folder.stat().st_mode & 0o777 == 0o700
    assert token.stat().st_mode & 0o777 == 0o600
    assert len(token.read_text()) == 64
    assert (cluster.nodes / "w1").read_text().splitlines() == [
        "RAY_AUTH_MODE=token",
        "RAY_AUTH_TOKEN=",
        f"RAY_AUTH_TOKEN_PATH={token}",
    ]


def test_the_token_of_the_environment_is_used(cluster: Cluster, tmp_path: Path) -> None:
    own = tmp_path / "token"
    own.write_text("from-a-file\n")
    own.chmod(0o600)
    assert cluster.run("up", RAY_AUTH_TOKEN_PATH=str(own)).returncode == 0
    assert (cluster.folder / "token").read_text() == "from-a-file"
    cluster.run("down")
    assert cluster.run("up", RAY_AUTH_TOKEN_PATH=str(own), RAY_AUTH_TOKEN="from-a-variable").returncode == 0
    assert (cluster.folder / "token").read_text() == "from-a-variable"


def test_a_token_that_others_can_read_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    own = tmp_path / "token"
    own.write_text("seen")
    own.chmod(0o640)
    up = cluster.run("up", RAY_AUTH_TOKEN_PATH=str(own))
    assert up.returncode == 1
    assert f"others can read {own}" in up.stderr
    missing = cluster.run("up", RAY_AUTH_TOKEN_PATH=str(tmp_path / "none"))
    assert (missing.returncode, "cannot be read" in missing.stderr) == (1, True)
    assert not cluster.folder.exists()


def test_env_is_for_a_shell_and_up_works_in_that_shell_again(cluster: Cluster) -> None:
    assert cluster.run("up").returncode == 0
    env = cluster.run("env").stdout
    shell = f'{env}\nprintf "%s\\n" "$RAY_ADDRESS" "$RAY_API_SERVER_ADDRESS" "$RAY_AUTH_MODE" "$RAY_AUTH_TOKEN_PATH"'
    printed = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True).stdout.split()
    assert printed[0].startswith("127.0.0.2:")
    assert printed[1].startswith("http://127.0.0.1:")
    assert printed[2:] == ["token", f"{cluster.folder}/token"]
    cluster.run("down")
    assert cluster.run("up", RAY_AUTH_TOKEN_PATH=printed[3]).returncode == 0


def test_a_second_up_is_refused_and_harms_nothing(cluster: Cluster) -> None:
    assert cluster.run("up").returncode == 0
    again = cluster.run("up", "--workers", "1")
    assert again.returncode == 1
    assert "runs in" in again.stderr
    assert "nodes      3 of 3" in cluster.run("status").stdout


def test_a_node_that_does_not_start_is_named_and_nothing_is_left(cluster: Cluster) -> None:
    up = cluster.run("up", FAKE_RAY_FAILS="w2")
    assert up.returncode == 1
    assert "the fake fails as it was told" in up.stderr
    assert "the node w2 did not start" in up.stderr
    assert cluster.processes() == []
    assert not cluster.folder.exists()


def test_up_waits_no_longer_than_its_limit(cluster: Cluster, tmp_path: Path) -> None:
    impatient = tmp_path / "cluster"
    shutil.copytree(SCRIPT.parent, impatient)
    script = impatient / "local.sh"
    text = script.read_text(encoding="utf-8")
    assert "START_S=90" in text
    script.write_text(text.replace("START_S=90", "START_S=2"), encoding="utf-8")
    started = time.monotonic()
    done = subprocess.run(
        [script, "up", "--dir", cluster.folder],
        env={**cluster.environment, "FAKE_RAY_MUTE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "not yet 1 nodes" in done.stderr
    assert time.monotonic() - started < 60
    assert cluster.processes() == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_up_leaves_nothing(cluster: Cluster, number: signal.Signals, code: int) -> None:
    # Where the tests run in the background, Ctrl-C is ignored, which a shell cannot undo.
    heeding = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    )
    up = subprocess.Popen(
        [sys.executable, "-c", heeding, *cluster.command("up")],
        env={**cluster.environment, "FAKE_RAY_MUTE": "1"},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not list(cluster.nodes.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [node.name for node in cluster.nodes.iterdir()] == ["head"]
    up.send_signal(number)
    assert up.wait(timeout=60) == code
    assert cluster.processes() == []
    assert not cluster.folder.exists()


def test_down_ends_jobs_and_no_other_process(cluster: Cluster) -> None:
    """Jobs have sessions of their own, and the mark of the cluster; that of another cluster may begin as ours."""
    assert cluster.run("up", "--workers", "1").returncode == 0

    def sleeper(mark: str) -> subprocess.Popen[bytes]:
        environment = {**cluster.environment, "RAYTUNER_LOCAL_CLUSTER": mark}
        return subprocess.Popen(["sleep", "60"], env=environment, start_new_session=True)

    others = [sleeper(""), sleeper(f"{cluster.folder}2")]
    job = sleeper(str(cluster.folder))
    try:
        assert cluster.run("down").returncode == 0
        assert job.wait(timeout=5) == -signal.SIGKILL
        assert [other.poll() for other in others] == [None, None]
        assert cluster.processes() == []
    finally:
        for process in (*others, job):
            process.kill()
            process.wait()


def test_down_never_ends_the_session_that_calls_it(cluster: Cluster) -> None:
    """Not even from a shell that has the mark, as that of a job does."""
    assert cluster.run("up", "--workers", "1").returncode == 0
    down = subprocess.run(
        cluster.command("down"),
        env={**cluster.environment, "RAYTUNER_LOCAL_CLUSTER": str(cluster.folder)},
        start_new_session=True,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (down.returncode, down.stdout) == (0, "stopped\n"), down.stderr
    assert cluster.processes() == []


def test_status_says_which_node_has_ended(cluster: Cluster) -> None:
    assert cluster.run("up").returncode == 0
    _, ended, _ = (cluster.folder / "nodes").read_text().splitlines()
    os.kill(int(ended.removesuffix(" w1")), signal.SIGTERM)
    time.sleep(1)
    status = cluster.run("status")
    assert status.returncode == 1
    assert "w1         ended" in status.stdout
    assert "w2         runs" in status.stdout
    assert "nodes      2 of 3" in status.stdout


def test_up_clears_what_a_switched_off_machine_left(cluster: Cluster) -> None:
    cluster.folder.mkdir(mode=0o700)
    (cluster.folder / "nodes").write_text("999999999 head\n")
    (cluster.folder / "token").write_text("old")
    assert cluster.run("up").returncode == 0
    assert (cluster.folder / "token").read_text() != "old"


def test_a_folder_of_others_or_open_to_them_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    cluster.folder.mkdir(mode=0o755)
    assert "closed to others" in cluster.run("up").stderr
    cluster.folder.rmdir()
    cluster.folder.symlink_to(tmp_path)
    assert "closed to others" in cluster.run("up").stderr
    cluster.folder.unlink()


def test_down_keeps_what_is_not_the_clusters(cluster: Cluster) -> None:
    cluster.folder.mkdir(mode=0o700)
    (cluster.folder / "mine").write_text("keep")
    assert cluster.run("up").returncode == 0
    assert cluster.run("down").returncode == 0
    assert [path.name for path in cluster.folder.iterdir()] == ["mine"]
    (cluster.folder / "mine").unlink()


def test_without_ray_it_says_what_to_install(cluster: Cluster, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "env", "dirname", "uname", "grep", "flock", "pgrep", "pkill", "ps", "setsid", "timeout"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    up = cluster.run("up", PATH=str(tools))
    assert up.returncode == 1
    assert "pip install 'raytuner[cluster]'" in up.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no command"),
        (("start",), "start is none of up, status, env, down"),
        (("up", "--workers", "0"), "--workers 0"),
        (("up", "--workers", "two"), "--workers two"),
        (("up", "--cpus", "-1"), "--cpus -1"),
        (("up", "--port", "1"), "unknown option --port"),
        (("up", "--workers"), "--workers needs a value"),
        (("up", "--dir", "relative"), "--dir relative"),
        (("up", "--dir", "/tmp/" + "x" * 40), "at most 28"),
    ],
)
def test_mistakes_are_named(arguments: tuple[str, ...], said: str) -> None:
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert said in done.stderr


@pytest.mark.parametrize("command", ["status", "env"])
def test_without_a_cluster(command: str, cluster: Cluster) -> None:
    done = cluster.run(command)
    assert done.returncode == 1
    assert "no cluster in" in done.stderr
    assert cluster.run("down").returncode == 0


def test_the_commands_of_the_page_work(cluster: Cluster) -> None:
    page = SCRIPT.with_name("local.md").read_text(encoding="utf-8")
    [commands] = re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    environment = {**cluster.environment, "RAYTUNER_CLUSTER_DIR": str(cluster.folder)}
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=SCRIPT.parents[1],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "3 workers, CPUs of each: 2" in done.stdout
    assert done.stdout.endswith("nodes      4 of 4\nstopped\n")


def test_the_page_has_all_options() -> None:
    page = SCRIPT.with_name("local.md").read_text(encoding="utf-8")
    usage = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=True, timeout=30).stdout
    assert re.findall(r"^\| `(--\w+)`", page, re.MULTILINE) == re.findall(r"^  (--\w+) ", usage, re.MULTILINE)
