"""A release that fits in memory, made in this process without Spark: all rows, sorted once, cut into files."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from pipeline.progress import progress
from pipeline.release.rows import in_order, read_rows, travelling
from pipeline.release.source import Source
from pipeline.release.survey import Key, Survey
from pipeline.release.write import Job, write_part
from schemas.releases import SORT_ORDER

_BATCH_ROWS = 1 << 16


def make_here(source: Source, survey: Survey, job: Job, todo: Sequence[int]) -> None:
    """Write the files `todo`, numbers ascending. Memory: about three times the rows."""
    tables = [table for number, each in enumerate(source.files) for table in read_rows(each, source, survey.repeats_of(number))]
    ordered = in_order(pa.concat_tables(tables)) if tables else travelling(source).empty_table()
    tables.clear()
    ends = [0, *(_first_at_least(ordered, key) for key in survey.begins), len(ordered)]
    for number in progress(todo, total=len(todo), label="release"):
        write_part(number, _batches(ordered.slice(ends[number], ends[number + 1] - ends[number])), job)


def _first_at_least(ordered: pa.Table, key: Key) -> int:
    """The place of the first row whose key is not below `key`."""

    @functools.cache
    def at(place: int) -> tuple[Any, ...]:
        return tuple(ordered[name][place].as_py() for name in SORT_ORDER)

    low, high = 0, len(ordered)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if at(middle) < key else (low, middle)
    return low


def _batches(table: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, len(table), _BATCH_ROWS):
        yield table.slice(start, _BATCH_ROWS)
