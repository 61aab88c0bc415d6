"""Requests that wait for a batch, against a server that has batches."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raytuner import models
from raytuner.calls import calling, labelled
from raytuner.calls.budget import Budget
from raytuner.calls.handle import LocalHandle
from raytuner.calls.ledger import Ledger
from raytuner.errors import BudgetUsedUpError, ModelError, TrialError
from raytuner.models.spec import spec
from raytuner.testing.openai_server import Behaviour, OpenAIServer

pytestmark = pytest.mark.timeout(20)

NAME_OF_GONE = hashlib.sha256(b"batch_99").hexdigest()[:32] + ".json"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("RAYTUNER_CACHE", str(tmp_path))
    monkeypatch.setattr("raytuner.calls.request.BACKOFF_S", (0.02, 0.1))
    monkeypatch.setattr("raytuner.calls.batch.QUIET_S", 0.1)
    monkeypatch.setattr("raytuner.calls.batch.POLL_S", (0.05, 0.1))


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    made = Ledger()
    calling(LocalHandle(made))
    yield made
    calling(None)


def llm(server: OpenAIServer, **settings: Any) -> Any:
    given = {"model": "openai-like:tiny", "base_url": server.base_url, "max_tokens": 100, "batch": True, **settings}
    return models.llm(spec("mine", {"mine": given}))


def asked(model: Any, count: int, stage: str = "judge", same: bool = False) -> list[Any]:
    async def all_of_them() -> list[Any]:
        with labelled(stage=stage):
            calls = [model.acomplete(f"Question {0 if same else number}: why?") for number in range(count)]
            return await asyncio.gather(*calls, return_exceptions=True)

    return [getattr(found, "text", found) for found in asyncio.run(all_of_them())]


@pytest.mark.parametrize("stage", ["judge", "generation"])
def test_what_is_asked_together_is_one_batch(server: OpenAIServer, ledger: Ledger, stage: str) -> None:
    plain = asked(llm(server, batch=False), 40, stage)
    assert asked(llm(server, price={"input": 1.0, "output": 2.0}), 40, stage) == plain
    assert [batch.count for batch in server.batches.values()] == [40]
    rows, _ = ledger.take()
    batched = rows[40:]
    assert {row["status"] for row in batched} == {"ok"}
    assert {row["endpoint"] for row in batched} == {f"{server.base_url} (batches)"}
    assert all(row["usd"] > 0 and not row["estimated"] for row in batched)


def test_answers_are_not_asked_for_in_batches(server: OpenAIServer, ledger: Ledger) -> None:
    asked(llm(server), 3, "answers")
    assert (len(server.requests), server.batches) == (3, {})


def test_the_same_request_made_twice_is_answered_twice(server: OpenAIServer, ledger: Ledger) -> None:
    assert len(set(asked(llm(server), 3, same=True))) == 1
    names = [json.loads(line)["custom_id"] for line in server.files["file-0"].splitlines()]
    assert len(set(names)) == 3
    assert max(map(len, names)) <= 64


def test_requests_that_fail_in_a_batch_are_in_the_next_one(server: OpenAIServer, ledger: Ledger) -> None:
    expected = asked(llm(server, batch=False), 20)
    server.behaviour = Behaviour(share=0.4, kinds=("500", "429"))
    assert asked(llm(server), 20) == expected
    counts = [batch.count for batch in server.batches.values()]
    assert len(counts) > 1
    assert counts == sorted(counts, reverse=True)
    rows, _ = ledger.take()
    assert len(rows) == 20 + sum(counts)


def test_what_no_batch_would_answer_fails_alone(server: OpenAIServer, ledger: Ledger) -> None:
    server.behaviour = Behaviour(script=["overflow", None, "filtered"])
    found = asked(llm(server), 3)
    assert [isinstance(one, TrialError) for one in found] == [True, False, True]
    assert len(server.batches) == 1


def test_a_batch_that_fails_or_expires(server: OpenAIServer, ledger: Ledger) -> None:
    server.behaviour = Behaviour(batch_ends="failed")
    (failed,) = asked(llm(server), 1)
    assert "scripted: failed" in str(failed)
    assert len(server.batches) == 1
    server.behaviour = Behaviour(batch_ends="expired")
    (expired,) = asked(llm(server, retries=2), 1)
    assert "not answered in time" in str(expired)
    assert len(server.batches) == 1 + 3


def test_who_asks_again_waits_for_the_batch_that_was_made(server: OpenAIServer, ledger: Ledger, tmp_path: Path) -> None:
    server.behaviour = Behaviour(batch_s=1.5)
    model = llm(server)

    async def stopped() -> None:
        with labelled(stage="judge"):
            calls = [asyncio.create_task(model.acomplete(f"Question {number}: why?")) for number in range(5)]
            while not server.batches:
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.2)
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)

    asyncio.run(stopped())
    (kept,) = tmp_path.rglob("batches/*/*.json")
    assert "why" not in kept.read_text()
    assert asked(llm(server), 7)[:5] == asked(llm(server, batch=False), 5)
    assert [batch.count for batch in server.batches.values()] == [5, 2]
    assert not list(tmp_path.rglob("batches/*/*.json"))


def test_a_batch_that_is_gone_is_made_again(server: OpenAIServer, ledger: Ledger, tmp_path: Path) -> None:
    folder = next(iter(_known(server, tmp_path)))
    expected = asked(llm(server, batch=False), 1)
    (folder / NAME_OF_GONE).write_text(json.dumps({"batch": "batch_99", "at": 2e9, "requests": [_name(server)]}))
    (folder / "damaged.json").write_text("{")
    assert asked(llm(server), 1) == expected


def _known(server: OpenAIServer, tmp_path: Path) -> Iterator[Path]:
    asked(llm(server), 1)
    yield from tmp_path.rglob("batches/*")


def _name(server: OpenAIServer) -> str:
    name: str = json.loads(server.files["file-0"])["custom_id"]
    return name


def test_a_budget_holds_for_batches(server: OpenAIServer) -> None:
    ledger = Ledger(Budget(llm_calls=4))
    calling(LocalHandle(ledger))
    try:
        found = asked(llm(server), 6)
    finally:
        calling(None)
    assert [isinstance(one, BudgetUsedUpError) for one in found] == [False] * 4 + [True] * 2
    assert len(server.requests) == 4


def test_only_a_service_has_batches() -> None:
    with pytest.raises(ModelError, match="only a service has batches"):
        models.llm(spec("smollm2", {"smollm2": {"batch": True}}))


def test_nothing_of_the_environment_goes_to_another_address(
    server: OpenAIServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-1")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Gateway-Key: sk-gatewaysecret123")
    asked(llm(server), 2)
    assert server.batches
    sent = {name.lower() for headers in server.headers for name in headers}
    assert not sent & {"openai-organization", "openai-project", "x-gateway-key"}


def test_an_outage_does_not_make_another_batch(
    server: OpenAIServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytuner.calls.batch.MAX_OUTAGE_S", 0.2)
    monkeypatch.setattr("raytuner.calls.gate.PROBE_S", (0.05, 0.1))
    expected = asked(llm(server, batch=False), 4)
    server.behaviour = Behaviour(batch_s=1.0)

    def outage() -> None:
        time.sleep(0.6)
        server.behaviour.down_gets = True
        time.sleep(1.5)
        server.behaviour.down_gets = False

    threading.Thread(target=outage, daemon=True).start()
    assert asked(llm(server, retries=8), 4) == expected
    assert [batch.count for batch in server.batches.values()] == [4]


def test_what_a_service_says_beside_is_taken_as_it_is(server: OpenAIServer, ledger: Ledger) -> None:
    server.behaviour = Behaviour(answer=lambda prompt: "one\u2028two\x85three", finish="eos")
    assert asked(llm(server), 2) == ["one\u2028two\x85three"] * 2
    assert len(server.batches) == 1


def test_a_folder_that_cannot_be_written_to_costs_no_answer(
    server: OpenAIServer, ledger: Ledger, tmp_path: Path
) -> None:
    (tmp_path / "batches").write_text("in the way")
    assert all(isinstance(one, str) for one in asked(llm(server), 2))
