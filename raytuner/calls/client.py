"""A client of the ``openai`` package whose requests go through the ledger: limited, retried, counted."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from raytuner.aio import in_thread
from raytuner.calls import context
from raytuner.calls.batch import batches
from raytuner.calls.call import used
from raytuner.calls.request import WHOLE, Request, Service
from raytuner.calls.streamed import Streamed


def through_ledger(client: Any, service: Service) -> Any:
    """A client whose requests go through the ledger of this process's search.

    Args:
        client: A client, synchronous or not; it is changed.
        service: The model that it is for.
    """
    request = client.request

    async def in_batch(cast_to: Any, options: Any, **_: Any) -> Any:
        assert service.batches is not None
        answer = await batches(client, service.batches, service.retries).ask(options.url, options.json_data)
        return cast_to.construct(**answer)  # as the package does: a service may say more, or other things

    async def ask_later(cast_to: Any, options: Any, **others: Any) -> Any:
        waits = service.batches is not None and context.stage() in WHOLE and _is_chat(options)
        own, make = (service.in_batches(), in_batch) if waits else (service, request)
        asking, handle = Request(own, options), context.handle()
        problem: BaseException | None
        asked = time.perf_counter()
        while True:
            call = asking.next_call()
            await handle.abegin(call)
            asking.begun()
            try:
                found = await asyncio.wait_for(make(cast_to, options, **others), own.timeout_s)
            except BaseException as error:  # cancelled too: it is to be settled
                outcome, problem = asking.failed(error)
            else:
                if others.get("stream"):
                    return Streamed(found, asking, call, handle)
                outcome, problem = asking.answered(found)
            context.charge(used(call, outcome).usd)
            again = await handle.aend(call, outcome)
            if problem is None:
                context.answered(outcome.seconds, time.perf_counter() - asked - outcome.seconds)
                return found
            if not again:
                raise problem
            await asyncio.sleep(asking.pause_s())

    def ask(cast_to: Any, options: Any, **others: Any) -> Any:
        asking, handle = Request(service, options), context.handle()
        problem: BaseException | None
        while True:
            call = asking.next_call()
            handle.begin(call)
            asking.begun()
            try:
                found = _within(service.timeout_s, lambda: request(cast_to, options, **others))
            except BaseException as error:
                outcome, problem = asking.failed(error)
            else:
                outcome, problem = asking.answered(found)
            context.charge(used(call, outcome).usd)
            again = handle.end(call, outcome)
            if problem is None:
                return found
            if not again:
                raise problem
            time.sleep(asking.pause_s())

    client.request = _once(ask_later) if inspect.iscoroutinefunction(request) else _once_here(ask)
    return client


def _once(ask: Callable[..., Any]) -> Callable[..., Any]:
    """Asks only for what is not kept; see `context.kept_by`."""

    async def once(cast_to: Any, options: Any, **others: Any) -> Any:
        keep = context.keeper()
        if keep is None or not _is_chat(options):
            return await ask(cast_to, options, **others)
        return await keep[0](cast_to, options.json_data, lambda: ask(cast_to, options, **others))

    return once


def _once_here(ask: Callable[..., Any]) -> Callable[..., Any]:
    """The same for a synchronous client, in a thread that may wait."""

    def once(cast_to: Any, options: Any, **others: Any) -> Any:
        keep = context.keeper()
        if keep is None or not _is_chat(options):
            return ask(cast_to, options, **others)
        kept = keep[0](cast_to, options.json_data, lambda: in_thread(lambda: ask(cast_to, options, **others)))
        return asyncio.run_coroutine_threadsafe(kept, keep[1]).result()

    return once


def _within(seconds: float, work: Callable[[], Any]) -> Any:
    """What some work comes to, or a `TimeoutError`: a client waits so long for each part of an answer only."""
    found: list[Any] = []

    def do() -> None:
        try:
            found.extend((work(), None))
        except BaseException as error:
            found.extend((None, error))

    thread = threading.Thread(target=do, name="raytuner-call", daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise TimeoutError(f"no answer within {seconds:g} s")
    if found[1] is not None:
        raise found[1]
    return found[0]


def _is_chat(options: Any) -> bool:
    return isinstance(options.json_data, Mapping) and "messages" in options.json_data
