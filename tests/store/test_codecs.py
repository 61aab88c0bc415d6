from __future__ import annotations

import io
import json
import math
import pickle
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from safetensors.numpy import load, save

from raytuner.pipeline.chunk import Chunk
from raytuner.pipeline.retrieve import Ranking
from raytuner.store import ARRAYS, JSON, Adapted, Codec, pack_strings, records, unpack_strings

ANY_STRING = st.text(st.characters(exclude_categories=[]))  # with lone surrogates
DTYPES = st.one_of(
    hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(), hnp.floating_dtypes(sizes=(16, 32, 64)), hnp.boolean_dtypes()
)
ARRAY = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=5)))
NAMED = st.dictionaries(ANY_STRING, ARRAY, max_size=4)


def through(codec: Codec[Any], value: Any) -> Any:
    return codec.decode(memoryview(b"".join(codec.encode(value))))


def same(left: NDArray[Any], right: NDArray[Any]) -> bool:
    return (
        left.dtype == right.dtype.newbyteorder("<")
        and left.shape == right.shape
        and bool(np.array_equal(left, right, equal_nan=left.dtype.kind == "f"))
    )


@given(NAMED)
def test_arrays_come_back(arrays: dict[str, NDArray[Any]]) -> None:
    back = through(ARRAYS, arrays)
    assert set(back) == set(arrays)
    assert all(same(back[name], arrays[name]) for name in arrays)


@given(st.dictionaries(st.text(st.characters(codec="ascii"), min_size=1).filter(lambda n: n != "__metadata__"), ARRAY))
def test_the_bytes_are_those_of_safetensors(arrays: dict[str, NDArray[Any]]) -> None:
    theirs = load(b"".join(ARRAYS.encode(arrays)))
    assert all(same(theirs[name], arrays[name]) for name in arrays)
    native = {name: np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))) for name, array in arrays.items()}
    ours = ARRAYS.decode(save(native))
    assert all(same(ours[name], native[name]) for name in native)


def test_arrays_are_views_that_cannot_be_written() -> None:
    content = b"".join(ARRAYS.encode({"odd": np.ones(3, np.int8), "wide": np.arange(4.0)}))
    back = ARRAYS.decode(content)
    assert np.shares_memory(back["wide"], np.frombuffer(content, np.uint8))
    assert back["wide"].flags.aligned
    with pytest.raises(ValueError, match="read-only"):
        back["wide"][0] = 1


@pytest.mark.parametrize("array", [np.array(["text"]), np.array([object()]), np.array([1j])])
def test_other_arrays_are_refused(array: NDArray[Any]) -> None:
    with pytest.raises(TypeError, match="'wrong'"):
        ARRAYS.encode({"wrong": array})


class Planted:
    """What runs if it is unpickled."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("a pickle was read",)


@pytest.mark.parametrize("codec", [ARRAYS, JSON])
def test_a_pickle_is_not_read(codec: Codec[Any]) -> None:
    npy = io.BytesIO()
    np.save(npy, np.array([Planted()], dtype=object), allow_pickle=True)
    for content in (pickle.dumps(Planted()), npy.getvalue()):
        with pytest.raises(ValueError, match=r"Expecting value|decode|Invalid"):
            codec.decode(content)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_STRING,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY_STRING, inner, max_size=3),
)


@given(JSON_VALUES)
def test_json_comes_back(value: Any) -> None:
    assert through(JSON, value) == value


def test_json_refuses_nan() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        JSON.encode(math.nan)


@given(st.lists(ANY_STRING))
def test_strings_come_back(strings: Sequence[str]) -> None:
    assert unpack_strings("text", pack_strings("text", strings)) == strings


SMALL_INTEGER = st.integers(-(2**63), 2**63 - 1)
CHUNKS = st.lists(st.builds(Chunk, SMALL_INTEGER, SMALL_INTEGER, SMALL_INTEGER, SMALL_INTEGER, ANY_STRING))


@given(CHUNKS)
def test_chunks_come_back(chunks: list[Chunk]) -> None:
    back = through(records(Chunk), chunks)
    assert back == chunks
    assert all(type(chunk) is Chunk and type(chunk.start) is int for chunk in back)


class Fields(NamedTuple):
    yes: bool
    share: float


class OtherFields(NamedTuple):
    yes: bool
    share: int


class Unknown(NamedTuple):
    parts: list[str]


def test_records_are_of_their_fields() -> None:
    back = through(records(Fields), [Fields(True, 0.5), Fields(False, -math.inf)])
    assert back == [Fields(True, 0.5), Fields(False, -math.inf)]
    assert type(back[0].yes) is bool
    renamed = records(OtherFields).format.replace("otherfields", "fields")
    assert records(Fields).format != renamed
    with pytest.raises(TypeError, match=r"Unknown\.parts.*use str"):
        records(Unknown)


RANKING: Adapted[Ranking, Any] = Adapted(
    "ranking-1",
    ARRAYS,
    lambda ranking: {"chunks": ranking.chunks, "scores": ranking.scores, "depth": np.array(ranking.depth)},
    lambda arrays: Ranking(arrays["chunks"], arrays["scores"], int(arrays["depth"])),
)


def test_a_codec_of_ones_own() -> None:
    ranking = Ranking(np.array([4, 2]), np.array([0.5, 0.25]), 100)
    back = through(RANKING, ranking)
    assert RANKING.format == "ranking-1.safetensors"
    assert (back.chunks.tolist(), back.scores.tolist(), back.depth) == ([4, 2], [0.5, 0.25], 100)
    assert json.loads(b"".join(Adapted("answer-1", JSON, str.upper, str.lower).encode("a"))) == "A"
