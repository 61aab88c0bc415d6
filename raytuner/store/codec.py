"""How an artefact becomes bytes and comes back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")
U = TypeVar("U")

Content = bytes | memoryview


class Codec(Protocol[T]):
    """A kind of artefact.

    Attributes:
        format: Names the form of the bytes and ends in the suffix of a file, e.g. ``ranking-1.safetensors``. It is
            stored with each artefact; one that was stored in another format is not used.
    """

    @property
    def format(self) -> str:
        """See the class."""

    def encode(self, value: T) -> Sequence[Content]:
        """The bytes, in as many pieces as is convenient, so that large arrays need not be copied."""

    def decode(self, content: Content) -> T:
        """The artefact; arrays may be views of the content, which lives as long as they do."""


class JsonCodec:
    """What JSON can hold: tuples come back as lists, NaN is refused, strings may hold anything Python's can."""

    format = "json"

    def encode(self, value: Any) -> list[Content]:
        """Compact JSON in UTF-8."""
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return [text.encode("utf-8", "surrogatepass")]

    def decode(self, content: Content) -> Any:
        """The value."""
        return json.loads(str(content, "utf-8", "surrogatepass"))


JSON = JsonCodec()


@dataclass(frozen=True)
class Adapted(Generic[T, U]):
    """A codec over another one, by two functions that undo each other.

    Attributes:
        name: The name and version of the form, e.g. ``ranking-1``.
        base: The codec of what `pack` returns.
        pack: Makes of the artefact what `base` can store.
        unpack: The way back.
    """

    name: str
    base: Codec[U]
    pack: Callable[[T], U]
    unpack: Callable[[U], T]

    @property
    def format(self) -> str:
        """The name with the suffix of the base."""
        return f"{self.name}.{self.base.format.rpartition('.')[2]}"

    def encode(self, value: T) -> Sequence[Content]:
        """The bytes of the packed value."""
        return self.base.encode(self.pack(value))

    def decode(self, content: Content) -> T:
        """The artefact."""
        return self.unpack(self.base.decode(content))
