"""Rows → parquet, in row groups of bounded size."""

from collections.abc import Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.candidates import CANDIDATES

_GROUP_ROWS = 32_768
_GROUP_CHARS = 16 << 20  # alt texts of 200,000 characters occur


class RowWriter:
    """Writes rows of CANDIDATES, tuples in the order of its columns (fetched_at: int, µs since epoch), to one file."""

    def __init__(self, file: IO[bytes]) -> None:
        self.rows_written = 0
        self._writer = pq.ParquetWriter(file, CANDIDATES, compression="zstd")
        self._rows: list[Sequence[Any]] = []
        self._chars = 0

    def write(self, row: Sequence[Any]) -> None:
        """Add a row."""
        self._rows.append(row)
        self._chars += _chars_in(row)
        if len(self._rows) >= _GROUP_ROWS or self._chars >= _GROUP_CHARS:
            self._flush()

    def close(self) -> None:
        """Write what is left, and the footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True) if self._rows else ((),) * len(CANDIDATES)
        arrays = [pa.array(values, type=field.type) for values, field in zip(columns, CANDIDATES, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=CANDIDATES))
        self.rows_written += len(self._rows)
        self._rows, self._chars = [], 0


def _chars_in(row: Sequence[Any]) -> int:
    """What a row weighs: a page's long header is written once per image."""
    return sum(len(value) if isinstance(value, str) else sum(map(len, value)) for value in row if isinstance(value, (str, list)))
