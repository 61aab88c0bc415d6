"""Parquet, in one thread and from memory.

Arrow starts threads for files and for Python's streams, also with ``use_threads=False``, and Python was seen to abort
at its end while one was still there.
"""

from __future__ import annotations

from typing import Any


def rows(content: bytes) -> list[dict[str, Any]]:
    """The rows of a Parquet file.

    Raises:
        ValueError: It is no Parquet; with the reason in one line.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        found: list[dict[str, Any]] = (
            parquet.ParquetFile(pyarrow.BufferReader(content)).read(use_threads=False).to_pylist()
        )
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(" ".join(str(error).split())) from None
    return found


def content(table: Any) -> bytes:
    """A table of pyarrow as the bytes of a Parquet file."""
    import pyarrow
    from pyarrow import parquet

    stream = pyarrow.BufferOutputStream()
    parquet.write_table(table, stream)
    written: bytes = stream.getvalue().to_pybytes()
    return written
