"""Rows as they come → tables of one size: the row groups of a parquet file must not depend on how the rows arrived."""

from collections.abc import Iterable, Iterator

import pyarrow as pa


def in_groups(tables: Iterable[pa.Table], size: int) -> Iterator[pa.Table]:
    """The same rows in tables of `size`, the last one shorter; none is empty."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += len(table)
        while rows >= size:
            joined = pa.concat_tables(waiting)
            yield joined.slice(0, size)
            waiting, rows = [joined.slice(size)], rows - size
    if rows:
        yield pa.concat_tables(waiting)
