"""What an object is called where a configuration is logged and shown."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any

VALUES = (PurePath, Enum, Decimal, datetime.date, datetime.time, datetime.timedelta)
"""Types whose text says all there is to say."""


def name_of(value: Any) -> str:
    """The text of a value, the name of a function or class, else the name of the object's class.

    Never the repr of an object: it may hold a key, or a place in memory, which is another one in each process.
    """
    if isinstance(value, VALUES):
        return str(value)
    own = getattr(value, "__name__", None)
    return own if isinstance(own, str) else type(value).__name__


def distinct_names(values: Iterable[Any]) -> list[str]:
    """The name of each value; the second of a name has ``-2`` after it, and so on."""
    times: Counter[str] = Counter()
    found = []
    for value in values:
        name = name_of(value)
        times[name] += 1
        found.append(name if times[name] == 1 else f"{name}-{times[name]}")
    return found
