"""Keep what libraries warn of away from the user, who can do nothing about it."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Warnings are not shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
