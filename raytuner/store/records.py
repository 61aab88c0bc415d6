"""Lists of named tuples as columns: numbers as arrays, strings as one run of UTF-8 and where each ends."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar, get_type_hints

import numpy as np
from numpy.typing import NDArray

from raytuner.store.arrays import ARRAYS, Arrays
from raytuner.store.codec import Adapted

T = TypeVar("T", bound=NamedTuple)

_NUMBERS: dict[type, Any] = {bool: np.bool_, int: np.int64, float: np.float64}


def pack_strings(name: str, strings: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Two arrays that hold strings: their UTF-8 and the position after the last byte of each."""
    encoded = [string.encode("utf-8", "surrogatepass") for string in strings]
    ends = np.cumsum([len(part) for part in encoded], dtype=np.int64)
    return {name: np.frombuffer(b"".join(encoded), np.uint8), f"{name}.ends": ends}


def unpack_strings(name: str, arrays: Arrays) -> list[str]:
    """The strings that `pack_strings` packed."""
    content = arrays[name].tobytes()
    ends = arrays[f"{name}.ends"].tolist()
    starts = [0, *ends][:-1]
    return [content[start:end].decode("utf-8", "surrogatepass") for start, end in zip(starts, ends, strict=True)]


def records(kind: type[T]) -> Adapted[list[T], Arrays]:
    """The codec of lists of a named tuple whose fields are strings, whole numbers (64 bits), floats and truth values.

    Its format holds a hash of the fields and their types, so that what was stored of other fields is not used.

    Raises:
        TypeError: A field is of another type.
    """
    fields = {name: hint for name, hint in get_type_hints(kind).items() if name in kind._fields}
    for name, hint in fields.items():
        if hint is not str and hint not in _NUMBERS:
            raise TypeError(f"{kind.__name__}.{name}: {hint} is no column; use {', '.join(map(_name, _COLUMNS))}")

    def pack(rows: list[T]) -> Arrays:
        columns = dict(zip(fields, zip(*rows, strict=True), strict=True)) if rows else dict.fromkeys(fields, ())
        arrays: dict[str, NDArray[Any]] = {}
        for name, hint in fields.items():
            values: Sequence[Any] = columns[name]
            arrays |= pack_strings(name, values) if hint is str else {name: np.array(values, dtype=_NUMBERS[hint])}
        return arrays

    def unpack(arrays: Arrays) -> list[T]:
        columns = [
            unpack_strings(name, arrays) if hint is str else arrays[name].tolist() for name, hint in fields.items()
        ]
        return [kind(*row) for row in zip(*columns, strict=True)]

    shape = hashlib.sha256(repr([(name, hint.__name__) for name, hint in fields.items()]).encode()).hexdigest()[:8]
    return Adapted(f"{kind.__name__.lower()}-{shape}", ARRAYS, pack, unpack)


_COLUMNS = (str, *_NUMBERS)


def _name(kind: type) -> str:
    return kind.__name__
