"""The tests of the store use the limit that users have."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def users_limit() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAYTUNER_CACHE_LIMIT", raising=False)
        yield
