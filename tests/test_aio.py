"""Running coroutines from anywhere."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from raytuner import aio


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def here() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_from_plain_code() -> None:
    assert aio.run(double(4)) == 8


def test_from_inside_a_running_loop() -> None:
    async def main() -> int:
        return aio.run(double(4))

    assert asyncio.run(main()) == 8


def test_one_lasting_loop_that_is_not_the_callers() -> None:
    async def main() -> bool:
        return aio.run(here()) is asyncio.get_running_loop()

    assert aio.run(here()) is aio.run(here())
    assert not asyncio.run(main())


@pytest.mark.timeout(10)
def test_from_inside_itself() -> None:
    async def outer(depth: int) -> int:
        return aio.run(outer(depth - 1)) + 1 if depth else await double(0)

    assert aio.run(outer(3)) == 3
    assert aio.run(double(1)) == 2


def test_from_many_threads() -> None:
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda number: aio.run(double(number)), range(40))) == list(range(0, 80, 2))
        assert len(set(pool.map(lambda _: aio.run(here()), range(8)))) == 1


def test_what_it_raises_is_raised() -> None:
    async def fail() -> None:
        raise KeyError("inside")

    with pytest.raises(KeyError, match="inside"):
        aio.run(fail())


def test_the_loop_does_not_keep_the_process_alive() -> None:
    aio.run(double(1))
    assert all(thread.daemon for thread in threading.enumerate() if thread.name.startswith("raytuner-asyncio"))
