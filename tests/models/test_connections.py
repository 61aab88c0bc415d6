"""Connections of asynchronous clients: closed, whatever becomes of their event loops."""

from __future__ import annotations

import subprocess
import sys

import pytest

EACH_IN_A_LOOP_OF_ITS_OWN = """
import asyncio
from raytuner import aio, models
from raytuner.models.spec import spec
from raytuner.testing.openai_server import OpenAIServer

async def asked(url):
    model = models.llm(spec("mine", {"mine": {"model": "openai-like:tiny", "base_url": url}}))
    return (await model.acomplete("a question")).text

with OpenAIServer() as server:
    for _ in range(3):
        asyncio.run(asked(server.base_url))
    aio.run(asked(server.base_url))
    print(len(server.requests))
"""


@pytest.mark.timeout(60)
def test_nothing_complains_of_connections_that_were_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    command = [sys.executable, "-c", EACH_IN_A_LOOP_OF_ITS_OWN]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50)
    assert (found.stdout, found.stderr) == ("4\n", "")
