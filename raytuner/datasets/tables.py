"""Question sets in Parquet, AutoRAG's among them."""

from __future__ import annotations

from pathlib import Path

from raytuner.datasets.row import Row
from raytuner.errors import DataError

MAGIC = b"PAR1"


def parquet_rows(path: Path, file: str) -> list[Row]:
    """The rows of a Parquet file.

    Args:
        path: The file.
        file: Its name for messages.

    Returns:
        One row for each of the table's; lists and structures become lists and mappings.

    Raises:
        DataError: The file is no Parquet, or holds no rows.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        # As a file of its own: pyarrow would take the names of parent folders, a=b, for columns.
        with path.open("rb") as stream:
            # One thread: Python was seen to abort at its end when older versions had started some.
            values = parquet.ParquetFile(stream).read(use_threads=False).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{file}: malformed Parquet: {reason:.200}; write the file again") from None
    if not values:
        raise DataError(f"{file}: the file holds no questions; add some")
    return [Row(f"{file}: row {number}", row) for number, row in enumerate(values, 1)]
