"""Real clients against a real server that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from raytuner import models
from raytuner.calls import Limits, calling, context, labelled
from raytuner.calls.budget import Budget
from raytuner.calls.call import Call
from raytuner.calls.handle import LocalHandle
from raytuner.calls.ledger import Ledger
from raytuner.errors import BudgetUsedUpError, EndpointDownError, TrialError
from raytuner.models.spec import spec
from raytuner.testing.openai_server import FAULTS, PASSING, Behaviour, OpenAIServer

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("raytuner.calls.request.BACKOFF_S", (0.02, 0.1))
    monkeypatch.setattr("raytuner.calls.gate.PROBE_S", (0.05, 0.1))
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with_it = Ledger(max_outage_s=20.0)
    calling(LocalHandle(with_it))
    yield with_it
    calling(None)


def through(**options: Any) -> Ledger:
    made = Ledger(Budget(**options))
    calling(LocalHandle(made))
    return made


def llm(server: OpenAIServer, **settings: Any) -> Any:
    given = {"model": "openai-like:tiny", "base_url": server.base_url, "timeout": 1.5, "max_tokens": 100, **settings}
    return models.llm(spec("mine", {"mine": given}))


def asked(model: Any, count: int) -> list[Any]:
    """The answers to so many questions, asked at once; or what was raised."""

    async def all_of_them() -> list[Any]:
        calls = (model.acomplete(f"Question {number}: why?") for number in range(count))
        return await asyncio.gather(*calls, return_exceptions=True)

    return [getattr(found, "text", found) for found in asyncio.run(all_of_them())]


def test_with_a_third_of_faults_all_answers_are_the_same(server: OpenAIServer, ledger: Ledger) -> None:
    expected = asked(llm(server), 100)
    rows, _ = ledger.take()
    assert Counter(row["status"] for row in rows) == {"ok": 100}
    server.requests.clear()
    server.behaviour = Behaviour(share=0.3, kinds=(*PASSING, "no usage"), hang_s=5.0, latency_s=0.01)
    assert asked(llm(server, concurrency=16), 100) == expected
    rows, notes = ledger.take()
    assert len(rows) == len(server.requests) > 110, "each attempt is logged, and no other"
    assert {fault for fault in PASSING if fault in {found.fault for found in server.requests}} == set(PASSING)
    assert set(server.answered.values()) == {1}, "nothing that was answered is asked again"
    assert server.most_in_flight <= 16 + Counter(found.fault for found in server.requests)["hang"]
    assert notes == []
    done = [row for row in rows if row["status"] == "ok"]
    assert len(done) == 100
    assert any(row["estimated"] for row in done)
    paid = {row["status"]: row["prompt_tokens"] > 0 for row in rows}
    assert paid == {
        "ok": True,
        "429": False,
        "500": False,
        "timeout": True,
        "cut": True,
        "no JSON": True,
        "other model": True,
    }


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("filtered", "content filter held the answer back"),
        ("overflow", r"refuses the request \(context_length_exceeded\): .*scripted"),
    ],
)
def test_what_asking_again_would_not_mend_is_not_asked_again(
    server: OpenAIServer, ledger: Ledger, fault: Any, words: str
) -> None:
    server.behaviour.script = [fault]
    first, second = asked(llm(server, concurrency=1), 2)
    assert isinstance(first, TrialError)
    assert re.search(words, str(first))
    assert isinstance(second, str)
    assert len(server.requests) == 2


def test_a_request_that_fails_while_others_are_answered_fails_alone(server: OpenAIServer, ledger: Ledger) -> None:
    model = llm(server, retries=2)
    poison = "Question 3: why?"
    answer = server.behaviour.answer

    def choose(prompt: str) -> str:
        if prompt == poison:
            raise RuntimeError("this one")
        return answer(prompt)

    server.behaviour.answer = choose
    found = asked(model, 8)
    assert [at for at, one in enumerate(found) if isinstance(one, Exception)] == [3]
    assert isinstance(found[3], TrialError)
    rows, _ = ledger.take()
    assert Counter(row["status"] for row in rows)["cut"] >= 3


def test_an_endpoint_that_is_down_is_waited_for_and_said(server: OpenAIServer, ledger: Ledger) -> None:
    server.behaviour.down = True

    async def back() -> None:
        await asyncio.sleep(1.0)
        server.behaviour.down = False

    async def both() -> Any:
        model = llm(server, retries=1)
        questions = (model.acomplete(f"Question {number}") for number in range(6))
        found, _ = await asyncio.gather(asyncio.gather(*questions), back())
        return found

    assert all(one.text for one in asyncio.run(both()))
    _, notes = ledger.take()
    assert "does not answer (cut): the search waits for it for up to 20 s" in notes[0]
    assert "answers again" in notes[1]


def test_an_endpoint_that_stays_down_ends_it(server: OpenAIServer) -> None:
    ledger = Ledger(max_outage_s=0.5)
    calling(LocalHandle(ledger))
    server.behaviour.down = True
    try:
        found = asked(llm(server, retries=1), 4)
    finally:
        calling(None)
    assert {type(one) for one in found} == {EndpointDownError}
    assert "model 'mine' at http://127.0.0.1" in str(found[0])
    assert "has not answered for 0.5 s (cut); start it" in str(found[0])


def test_a_service_that_calls_the_model_otherwise(server: OpenAIServer, ledger: Ledger) -> None:
    server.behaviour = Behaviour(share=1.0, kinds=["wrong model"], in_a_row=10_000)
    assert asked(llm(server, model="openai-like:alias"), 1) == ["other words"]
    assert len(server.requests) == 5, "asked again, since it could be a mistake"
    assert asked(llm(server, model="openai-like:alias"), 3) == ["other words"] * 3
    assert len(server.requests) == 8


def test_what_a_call_is_for(server: OpenAIServer, ledger: Ledger) -> None:
    model = llm(server, price={"input": 1.0, "output": 2.0})
    with labelled(trial=7, stage="answers"):
        assert asked(model, 1)
    given = {"model": "openai-like:vectors", "base_url": server.base_url, "price": {"input": 0.5}}
    models.embedding(spec("vectors", {"vectors": given})).get_text_embedding("three plain words")
    answered, embedded = ledger.take()[0]
    assert (answered["trial"], answered["stage"], answered["model"]) == (7, "answers", "mine")
    assert answered["usd"] == pytest.approx((3 * 1.0 + 3 * 2.0) / 1e6)
    assert (embedded["trial"], embedded["stage"], embedded["completion_tokens"]) == (None, "embeddings", 0)
    assert embedded["usd"] == pytest.approx(3 * 0.5 / 1e6)
    usd, tokens, calls = ledger.spent
    assert (usd, tokens, calls) == (pytest.approx(answered["usd"] + embedded["usd"]), 9, 1)


@pytest.mark.parametrize(
    ("budget", "words", "most"),
    [
        ({"llm_calls": 10}, "the budget of 10 LLM calls is used up", 10),
        ({"tokens": 200}, "the budget of 200 tokens is used up", None),
        ({"usd": 0.0002}, r"the budget of 0.0002 USD is used up", None),
    ],
)
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_a_budget_is_never_exceeded(
    server: OpenAIServer, budget: dict[str, Any], words: str, most: int | None, share: float
) -> None:
    ledger = through(**budget)
    server.behaviour = Behaviour(share=share, kinds=("429", "500", "cut"), latency_s=0.01)
    try:
        found = asked(llm(server, price={"input": 1.0, "output": 2.0}, max_tokens=50), 40)
    finally:
        calling(None)
    refused = [one for one in found if isinstance(one, Exception)]
    assert {type(one) for one in refused} == {BudgetUsedUpError}
    assert str(refused[0]) == words
    assert any(isinstance(one, str) for one in found)
    usd, tokens, calls = ledger.spent
    rows, _ = ledger.take()
    assert len(rows) == len(server.requests) == calls
    assert tokens == sum(row["prompt_tokens"] + row["completion_tokens"] for row in rows)
    assert usd <= budget.get("usd", 1)
    assert tokens <= budget.get("tokens", 10**9)
    assert calls <= budget.get("llm_calls", 10**9)
    if most is not None and not share:
        assert calls == most


def test_no_call_begins_after_the_deadline(server: OpenAIServer) -> None:
    asked(llm(server), 1)  # what is imported for the first call takes its time
    through(deadline=time.time() + 2.0)
    server.behaviour.latency_s = 0.5
    try:
        found = asked(llm(server, concurrency=1), 12)
    finally:
        calling(None)
    assert 1 <= sum(isinstance(one, str) for one in found) <= 5
    assert {str(one) for one in found if isinstance(one, Exception)} == {"the time budget is used up"}


def test_requests_and_tokens_a_minute(server: OpenAIServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytuner.calls.limits.WINDOW_S", 1.0)
    assert all(isinstance(one, str) for one in asked(llm(server, requests_per_minute=5), 12))
    times = [found.at for found in server.requests]
    assert all(sum(start <= at < start + 0.9 for at in times) <= 5 for start in times)
    assert times[-1] > 1.9


def test_retry_after_holds_up_all_calls(server: OpenAIServer, ledger: Ledger) -> None:
    server.behaviour.script = ["429 retry-after"]
    server.behaviour.retry_after_s = 0.6
    assert all(isinstance(one, str) for one in asked(llm(server, concurrency=1), 4))
    first, second, *_ = [found.at for found in server.requests]
    assert second - first >= 0.55


def test_answers_to_what_is_in_flight_do_not_shorten_it(server: OpenAIServer, ledger: Ledger) -> None:
    server.behaviour = Behaviour(latency_s=0.2, script=[None, "429 retry-after"], retry_after_s=1.5)

    async def late() -> None:
        model = llm(server, concurrency=3)
        first = [asyncio.create_task(model.acomplete(f"Question {number}")) for number in range(2)]
        await asyncio.sleep(0.1)
        third = asyncio.create_task(model.acomplete("Question 3"))  # is answered after the refusal
        await asyncio.gather(*first, third)
        await model.acomplete("Question 4")

    asyncio.run(late())
    times = [found.at for found in server.requests]
    assert times[3] - times[1] >= 1.5


def test_a_cancelled_call_gives_its_place_back(server: OpenAIServer, ledger: Ledger) -> None:
    server.behaviour.latency_s = 0.3

    async def cancelled() -> Any:
        model = llm(server, concurrency=1)
        tasks = [asyncio.create_task(model.acomplete(f"Question {number}")) for number in range(3)]
        await asyncio.sleep(0.1)
        tasks[0].cancel()  # in flight
        tasks[1].cancel()  # waits for its turn
        return await asyncio.gather(*tasks, return_exceptions=True)

    one, two, three = asyncio.run(cancelled())
    assert {type(one), type(two)} == {asyncio.CancelledError}
    assert three.text
    assert [row["status"] for row in ledger.take()[0]] == ["cancelled", "ok"]


def test_the_proxy_of_the_environment_is_used(
    server: OpenAIServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = models.llm(spec("mine", {"mine": {"model": "openai-like:tiny", "base_url": "http://models.invalid/v1"}}))
    monkeypatch.setenv("HTTP_PROXY", server.base_url.removesuffix("/v1"))
    monkeypatch.setenv("http_proxy", server.base_url.removesuffix("/v1"))
    assert asked(model, 1) == [server.behaviour.answer("Question 0: why?")]
    assert len(server.requests) == 1


def test_a_call_that_cannot_connect_costs_nothing(server: OpenAIServer) -> None:
    ledger = Ledger(max_outage_s=0.3)
    calling(LocalHandle(ledger))
    try:
        found = asked(llm(server, base_url="http://127.0.0.1:9/v1", retries=0), 1)
    finally:
        calling(None)
    assert isinstance(found[0], EndpointDownError)
    rows, _ = ledger.take()
    assert {(row["status"], row["prompt_tokens"], row["completion_tokens"]) for row in rows} == {
        ("no connection", 0, 0)
    }


def test_every_fault_is_named() -> None:
    assert set(PASSING) < set(FAULTS)


class Raw(BaseHTTPRequestHandler):
    """Answers every request with the next of some bodies; None keeps sending white space."""

    bodies: ClassVar[list[bytes | None]] = []

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = self.bodies.pop(0)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        if body is not None:
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(40):
                self.wfile.write(b" ")
                time.sleep(0.1)

    def log_message(self, format: str, *args: Any) -> None:
        """Not to the terminal."""


@pytest.fixture
def raw(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("raytuner.calls.request.BACKOFF_S", (0.02, 0.1))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Raw)
    server.base_url = f"http://127.0.0.1:{server.server_port}/v1"  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def completion(**changed: Any) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "right"}}
    whole = {"id": "1", "object": "chat.completion", "created": 0, "model": "tiny", "choices": [choice]}
    return json.dumps(
        {**whole, "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}, **changed}
    ).encode()


@pytest.mark.parametrize(
    "body",
    [
        completion(choices=[{"index": 0, "finish_reason": "stop", "message": None}]),
        completion(choices=[{"index": 0, "finish_reason": "stop"}]),
        completion(choices=[None]),
        completion(choices=[]),
        completion(choices={"a": 1}),
        b"[]",
        b"null",
        b'"right"',
        None,
    ],
)
def test_an_answer_in_another_form_is_asked_for_again(raw: Any, ledger: Ledger, body: bytes | None) -> None:
    Raw.bodies = [body, completion()]
    assert asked(llm(raw), 1) == ["right"]
    first, second = ledger.take()[0]
    assert first["status"] in ("malformed", "no answer", "timeout")
    assert first["seconds"] < 3, "a call ends when its time is over, whatever trickles in"
    assert second["status"] == "ok"


@pytest.mark.parametrize("usage", [{"prompt_tokens": "12"}, {"prompt_tokens": -1}, [], "many", None, {}])
def test_counts_that_are_none_are_estimated(raw: Any, ledger: Ledger, usage: Any) -> None:
    Raw.bodies = [completion(usage=usage)]
    assert asked(llm(raw), 1) == ["right"]
    (row,) = ledger.take()[0]
    assert (row["status"], row["estimated"]) == ("ok", True)
    assert row["prompt_tokens"] > 0


def test_an_answer_that_max_tokens_cut_is_no_judgement(raw: Any, ledger: Ledger) -> None:
    def cut(text: str) -> bytes:
        message = {"role": "assistant", "content": text}
        return completion(choices=[{"index": 0, "finish_reason": "length", "message": message}])

    Raw.bodies = [cut("half"), cut(""), cut("half")]
    assert asked(llm(raw), 1) == ["half"]
    (empty,) = asked(llm(raw), 1)
    assert "max_tokens cut the answer short" in str(empty)
    with labelled(stage="judge"):
        (judged,) = asked(llm(raw), 1)
    assert "max_tokens cut the answer short" in str(judged)
    assert len(ledger.take()[0]) == 3


def test_a_call_that_is_lost_gives_its_budget_back(server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytuner.calls.gate.SLACK_S", 0.2)
    ledger = through(tokens=240)
    handle = context.handle()
    base = llm(server)
    asked(base, 1)
    call = Call("x-1", "x", 1, "http://gone", "m", "answers", None, 10, 50, 120, 0.3, 5, Limits(), None)
    try:
        handle.begin(call)
        found = asked(llm(server), 1)
    finally:
        calling(None)
    assert str(found[0]) == "the budget of 240 tokens is used up", "the lost one counts in full"
    assert [row["status"] for row in ledger.take()[0]] == ["ok", "lost"]


def test_a_service_that_wants_to_be_asked_tomorrow_ends_it(server: OpenAIServer, ledger: Ledger) -> None:
    server.behaviour.script = ["429 retry-after"]
    server.behaviour.retry_after_s = 86_400
    (found,) = asked(llm(server), 1)
    assert isinstance(found, EndpointDownError)
    assert "wants to be asked again in 864" in str(found) or "wants to be asked again in 863" in str(found)
    assert "wants to be asked again in 86400 s" in ledger.take()[1][0]


def test_one_bad_request_alone_does_not_end_a_search(server: OpenAIServer, ledger: Ledger) -> None:
    assert len(asked(llm(server), 4)) == 4
    server.behaviour.script = ["500"] * 3
    (found,) = asked(llm(server, retries=2), 1)
    assert isinstance(found, TrialError)
    assert asked(llm(server), 1) == ["Question 0: why?"]
    assert ledger.take()[1] == [], "it was not taken to be down"


def test_at_the_end_nothing_begins_any_more(server: OpenAIServer, ledger: Ledger) -> None:
    server.behaviour.latency_s = 0.5

    async def ended() -> Any:
        model = llm(server, concurrency=1)
        tasks = [asyncio.create_task(model.acomplete(f"Question {number}")) for number in range(3)]
        await asyncio.sleep(0.2)
        await asyncio.to_thread(lambda: asyncio.run_coroutine_threadsafe(_settle(ledger), handle_loop()).result())
        return await asyncio.gather(*tasks, return_exceptions=True)

    found = asyncio.run(ended())
    assert sum(isinstance(one, BudgetUsedUpError) for one in found) == 2
    assert len(server.requests) == 1


async def _settle(ledger: Ledger) -> None:
    ledger.settle_all()


def handle_loop() -> asyncio.AbstractEventLoop:
    handle = context.handle()
    assert isinstance(handle, LocalHandle)
    return handle._loop


def test_a_key_that_a_service_quotes_is_left_nowhere(
    server: OpenAIServer, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-" + "0123456789abcdef" * 10
    monkeypatch.setenv("MY_SERVICE_KEY", key)
    server.behaviour = Behaviour(script=["overflow"], said="x" * 90 + f" Incorrect API key provided: {key}")
    (found,) = asked(llm(server, api_key_env="MY_SERVICE_KEY"), 1)
    assert isinstance(found, TrialError)
    assert key[:12] not in str(found)
    assert "<MY_SERVICE_KEY>" in str(found)


def test_a_date_that_is_none_is_no_date(server: OpenAIServer, ledger: Ledger) -> None:
    from raytuner.calls.request import _retry_after

    assert _retry_after({"retry-after": "Fri, 31 Dec 99999 23:59:59 GMT"}) is None
    assert _retry_after({"retry-after": "7"}) == 7.0


def test_embeddings_are_put_in_the_order_of_their_texts(server: OpenAIServer, ledger: Ledger) -> None:
    own = {"model": "openai-like:e", "base_url": server.base_url}
    model = models.embedding(spec("e", {"e": own}))
    texts = [f"text {number}" for number in range(5)]
    expected = model.get_text_embedding_batch(texts)
    server.behaviour.reverses = True
    assert models.embedding(spec("e", {"e": own})).get_text_embedding_batch(texts) == expected


def test_a_synchronous_call_ends_within_its_time(raw: Any, ledger: Ledger) -> None:
    Raw.bodies = [None]  # which is sent a byte at a time
    began = time.monotonic()
    model = llm(raw, timeout=0.4, retries=0)
    ledger._max_outage_s = 0.0
    with pytest.raises((TrialError, EndpointDownError)):
        model.complete("Why?")
    assert time.monotonic() - began < 3


def test_what_a_call_waited_for_is_known_apart(server: OpenAIServer, ledger: Ledger) -> None:
    server.behaviour = Behaviour(latency_s=0.2, script=["429 retry-after"], retry_after_s=0.6)

    async def timed() -> context.Waits:
        with context.waiting() as waits:
            await llm(server).acomplete("Why?")
        return waits

    waits = asyncio.run(timed())
    assert waits.seconds > 0.6
    assert 0.2 <= waits.longest < 0.5
