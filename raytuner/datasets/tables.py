"""Question sets in Parquet, AutoRAG's among them."""

from __future__ import annotations

from pathlib import Path

from raytuner import parquet
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
    try:
        values = parquet.rows(path.read_bytes())
    except (ValueError, OSError) as error:
        raise DataError(f"{file}: malformed Parquet: {error!s:.200}; write the file again") from None
    if not values:
        raise DataError(f"{file}: the file holds no questions; add some")
    return [Row(f"{file}: row {number}", row) for number, row in enumerate(values, 1)]
