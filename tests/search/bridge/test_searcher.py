"""A searcher over a child: results reach it, and it outlives the child."""

from __future__ import annotations

import gc
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from raytuner.errors import SearchError
from raytuner.search.bridge import searcher as module
from raytuner.search.bridge.process import Child, ChildError
from raytuner.search.bridge.searcher import BridgeSearcher, described
from raytuner.search.guard import Guard
from raytuner.search.task import Task
from raytuner.space import SearchSpace

TOY = Path(__file__).with_name("toy.py")
SPACE = SearchSpace.from_dict(
    {
        "a": ["x", "y", None],
        "only": ["one"],
        "n": {"int": [10, 50], "step": 10},
        "t": {"float": [0, 1]},
        "rate": {"float": [0.001, 1], "log": True},
    }
)


def toy(
    system: str, space: SearchSpace = SPACE, *, mode: str = "max", timeout: float = 30, **more: Any
) -> BridgeSearcher:
    points = more.pop("points", ())
    seed = more.pop("seed", 0)
    task = Task(space, "score", mode, seed, points)
    return BridgeSearcher(system, sys.executable, task, options=more, timeout=timeout, libraries=TOY)


def tell(searcher: BridgeSearcher, trial: str, score: float) -> None:
    searcher.on_trial_complete(trial, {"score": score})


def test_points_are_raw_samples_of_the_space() -> None:
    searcher = toy("toy")
    for number in range(30):
        raw = searcher.suggest(f"t{number}")
        assert list(raw) == ["a", "only", "n", "t", "rate"]
        assert raw["a"] in ("x", "y", None)
        assert raw["only"] == "one"
        assert raw["n"] in range(5)
        assert 0 <= raw["t"] <= 1
        assert 0.001 <= raw["rate"] <= 1
        SPACE.decode(raw)
        tell(searcher, f"t{number}", 1)


@pytest.mark.parametrize("system", ["toy", "noisy"])
def test_the_seed_fixes_the_points_and_noise_does_no_harm(system: str) -> None:
    runs = []
    for seed in (1, 1, 2):
        searcher = toy(system, seed=seed)
        runs.append([searcher.suggest(f"t{number}") for number in range(4)])
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


@pytest.mark.parametrize(("mode", "sign"), [("max", -1), ("min", 1)])
def test_a_new_child_is_told_what_the_old_one_knew(tmp_path: Path, mode: str, sign: int) -> None:
    file = tmp_path / "known"
    first = SPACE.encode({"a": "y", "n": 30, "t": 0.5, "rate": 0.01})
    searcher = toy("journal", points=[first], mode=mode, file=str(file))
    assert searcher.suggest("t0") == first
    given = [searcher.suggest(f"t{number}") for number in (1, 2)]
    tell(searcher, "t0", 5)
    searcher.on_trial_complete("t1", error=True)
    assert isinstance(searcher.suggest("t3"), dict)  # the third of the first process
    told, pending = eval(file.read_text())
    assert told == [([1, 2, 0.5, 0.01], sign * 5.0), (searcher._encoded(given[0]), None)]
    assert pending == [searcher._encoded(given[1])]


@pytest.mark.parametrize(
    ("system", "why"),
    [
        ("dying", "it ended with code -9"),
        ("failing", "it reports ValueError: singular matrix"),
        ("astray", "it reports ValueError: cannot convert float NaN to integer"),
    ],
)
def test_a_child_that_always_fails_ends_the_search_with_a_reason(system: str, why: str) -> None:
    searcher = toy(system)
    with pytest.raises(SearchError) as caught:
        searcher.suggest("t1")
    assert str(caught.value) == f"search {system!r} failed 3 times, the last time since {why}; use another search"
    guarded = Guard(SPACE, toy(system), "score", "max")
    with pytest.raises(SearchError, match=r"use another search$") as again:
        guarded.suggest("t1")
    assert str(again.value) == str(caught.value)


def test_a_child_knows_what_is_evaluated_in_place_of_what_it_suggested(tmp_path: Path) -> None:
    """Inactive parameters are hidden from it, and points may come from elsewhere."""
    file = tmp_path / "known"
    spec = {"a": ["x"], "b": ["p", "q", "r"], "t": {"float": [0, 1], "default": 0.25, "when": {"b": "r"}}}
    space = SearchSpace.from_dict(spec)
    searcher = toy("journal", space, file=str(file))
    raw = searcher.suggest("t0")
    while raw["b"] == "r":
        tell(searcher, "t0", 1)
        raw = searcher.suggest("t0")
    assert raw["t"] == 0.25
    searcher.expect({"a": "x", "b": "r", "t": 0.5})
    for number in range(3):  # until a new child is told everything
        searcher.suggest(f"more{number}")
    _, pending = eval(file.read_text())
    assert [space.parameters["b"].position(raw["b"]), 0.25] in pending
    assert [2, 0.5] in pending


def test_a_suggestion_that_takes_too_long_is_ended_with_all_its_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CRASHES", 1)
    file = tmp_path / "pids"
    searcher = toy("hanging", timeout=3, file=str(file))
    with pytest.raises(SearchError, match=r"search 'hanging' failed 1 times, .* since there was no answer in 3 s; "):
        searcher.suggest("t1")
    pids = [int(pid) for pid in file.read_text().split()]
    end = time.monotonic() + 10
    while any(alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_child_has_no_network_no_secrets_and_a_folder_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-for-children")
    file = tmp_path / "seen"
    assert isinstance(toy("looking", file=str(file)).suggest("t1"), dict)
    seen, folder, entries = eval(file.read_text())
    assert "sk-not-for-children" not in file.read_text()
    assert seen["HOME"] == folder != str(Path.cwd())
    assert entries == []
    with socket.create_server(("127.0.0.1", 0)) as server:
        searcher = toy("calling", port=server.getsockname()[1])
        with pytest.raises(SearchError, match=r"PermissionError: socket.getaddrinfo is not allowed"):
            searcher.suggest("t1")


def test_a_result_that_cannot_be_told_is_told_to_the_next_child() -> None:
    searcher = toy("toy")
    searcher.suggest("t1")
    assert searcher._child is not None
    os.kill(searcher._child._process.pid, 9)
    tell(searcher, "t1", 1)
    assert isinstance(searcher.suggest("t2"), dict)
    assert searcher._told[0][1] == -1


def test_the_child_ends_with_the_searcher() -> None:
    searcher = toy("toy")
    assert searcher._child is not None
    pid = searcher._child._process.pid
    del searcher
    gc.collect()
    assert not Path(f"/proc/{pid}").exists()


def test_threads_take_turns() -> None:
    searcher = toy("toy")
    failures: list[BaseException] = []

    def run(name: str) -> None:
        try:
            for number in range(20):
                assert isinstance(searcher.suggest(f"{name}{number}"), dict)
                tell(searcher, f"{name}{number}", number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(searcher._told) == 80


def test_a_child_that_cannot_start_says_how_to_make_the_environment_anew() -> None:
    with pytest.raises(SearchError) as caught:
        toy("no such library")
    assert str(caught.value) == (
        "the environment of search 'no such library' does not work: it reports KeyError: 'no such library'; "
        "make it anew by `raytuner algorithms --install no such library`"
    )


def test_a_wrong_option_is_the_users() -> None:
    with pytest.raises(SearchError, match=r"^option taste is 'bad'; it must be good$"):
        toy("picky", taste="bad")


@pytest.mark.parametrize("point", [None, 7, [], [0, 0, 0.5], [3, 0, 0.5, 0.1], [True, 0, 0.5, 0.1], [0, 0.5, 0.5, 0.1]])
def test_a_point_outside_the_space_is_not_believed(point: object) -> None:
    with pytest.raises(ChildError, match="it suggested"):
        toy("toy")._decoded(point)


def test_a_reply_without_a_point_counts_as_a_failure_of_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    searcher = toy("toy")
    monkeypatch.setattr(Child, "call", lambda *_: {"id": 1})
    with pytest.raises(SearchError, match=r"failed 3 times, the last time since it suggested None, which is no point"):
        searcher.suggest("t1")


def test_a_new_child_has_another_seed_that_numpy_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    call = Child.call

    def noted(child: Child, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        seeds.extend([request["seed"]] if request["op"] == "start" else [])
        return call(child, request, timeout)

    monkeypatch.setattr(Child, "call", noted)
    searcher = toy("journal", seed=2**32 - 1, file=str(tmp_path / "known"))
    for number in range(4):  # at the third the child dies
        searcher.suggest(f"t{number}")
        tell(searcher, f"t{number}", 1)
    assert seeds == [2**32 - 1, 1]


def test_under_the_guard_a_finite_space_ends_exhausted() -> None:
    space = SearchSpace.from_dict({"a": ["x", "y"], "n": {"int": [1, 4]}, "one": [3]})
    guard = Guard(space, toy("toy", space), "score", "max", patience=2)
    seen = set()
    while isinstance(found := guard.suggest(f"t{len(seen)}"), dict):
        seen.add(repr(found["point"]))
        guard.on_trial_complete(f"t{len(seen) - 1}", {"score": 1.0})
    assert len(seen) == 8
    assert guard.ended == "the space is exhausted: all 8 configurations were tried"


def test_how_parameters_are_described() -> None:
    spec = {
        "a": [1, True],
        "b": {"int": [3, 9]},
        "c": {"float": [0, 1], "step": 0.25},
        "d": {"int": [1, 64], "log": True},
        "e": {"float": [0.1, 1], "log": True},
    }
    assert [described(entry) for entry in SearchSpace.from_dict(spec).parameters.values()] == [
        {"kind": "choice", "size": 2},
        {"kind": "int", "low": 0, "high": 6, "log": False},
        {"kind": "int", "low": 0, "high": 4, "log": False},
        {"kind": "int", "low": 1, "high": 64, "log": True},
        {"kind": "float", "low": 0.1, "high": 1.0, "log": True},
    ]
