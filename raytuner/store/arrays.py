"""Named arrays as safetensors, written and read without copying the numbers.

The library of that name copies arrays when it reads them; here they are views of what is read, which may be a mapped
file. The bytes are those of the library: a header of JSON, then the numbers, wide types first so that each is aligned.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raytuner.store.codec import Content

Arrays = Mapping[str, NDArray[Any]]

_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
_NAMES = {np.dtype(code): name for name, code in _TYPES.items()}
_ALIGNMENT = 64


class ArrayCodec:
    """Named arrays of numbers or truth values, of any shape; read arrays cannot be written to."""

    format = "arrays.safetensors"

    def encode(self, value: Arrays) -> list[Content]:
        """The header and the numbers of each array.

        Raises:
            TypeError: An array holds something else than numbers or truth values.
        """
        plain = {name: _little_endian(name, array) for name, array in value.items()}
        ordered = sorted(plain, key=lambda name: (-plain[name].itemsize, name))
        header: dict[str, Any] = {}
        position = 0
        for name in ordered:
            array = plain[name]
            offsets = [position, position + array.nbytes]
            header[name] = {"dtype": _NAMES[array.dtype], "shape": list(array.shape), "data_offsets": offsets}
            position += array.nbytes
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-(8 + len(text)) % _ALIGNMENT)
        return [len(text).to_bytes(8, "little") + text, *(_bytes(plain[name]) for name in ordered)]

    def decode(self, content: Content) -> dict[str, NDArray[Any]]:
        """Views of the content."""
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(bytes(content[8:start]))
        arrays = {}
        for name, part in header.items():
            shape = part["shape"]
            flat = np.frombuffer(content, _TYPES[part["dtype"]], math.prod(shape), start + part["data_offsets"][0])
            arrays[name] = flat.reshape(shape)
        return arrays


ARRAYS = ArrayCodec()


def _little_endian(name: str, array: NDArray[Any]) -> NDArray[Any]:
    kind = array.dtype.newbyteorder("<")
    if kind not in _NAMES:
        raise TypeError(f"array {name!r} of {array.dtype} cannot be stored; use one of {', '.join(_TYPES)}")
    # np.ascontiguousarray makes a number without dimensions an array of one.
    return np.asarray(array, dtype=kind, order="C")


def _bytes(array: NDArray[Any]) -> Content:
    return array.reshape(-1).view(np.uint8).data if array.size else b""
