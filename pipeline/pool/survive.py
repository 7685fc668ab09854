"""One survivor per uid, then per URL or text: the earliest record, told how many there were and which of their pages opt out.

In: batches in which the records of a key stand together, in it those of a uid, the earliest first. Out: the same columns, one row
per uid or per key. Bounded by the batch, however many records there are.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# The order that decides who survives; an unknown date comes last (pyarrow's and the shuffle's nulls alike).
_AGE = ("fetched_at", "wat_path", "record_offset", "page_url", "source")
EARLIEST_BY = ("sample_rank", "key", "uid", *_AGE)
EARLIEST: list[tuple[str, Literal["ascending"]]] = [(name, "ascending") for name in EARLIEST_BY]
# Among the survivors of one key's uids. Two uids of one record are equally early: the uid decides.
_EARLIEST_OF_KEY: list[tuple[str, Literal["ascending"]]] = [(n, "ascending") for n in ("sample_rank", "key", *_AGE, "uid")]

# What a survivor tells of its whole run.
_TOLD = {"n_records": np.add, "opt_outs": np.bitwise_or}

Batches = Iterable[pa.RecordBatch]


def survivors(batches: Batches) -> Iterator[pa.RecordBatch]:
    """One row per uid over all batches."""
    return _over_all(batches, combine)


def survivors_of_urls(batches: Batches) -> Iterator[pa.RecordBatch]:
    """One row per key, a URL, over all batches of what `survivors` gives; a page that opts out speaks for the image."""
    return _over_all(batches, partial(_earliest, told=_TOLD))


def survivors_of_texts(batches: Batches) -> Iterator[pa.RecordBatch]:
    """One row per key, a text, likewise; of other images with the same text a page that opts out says nothing."""
    return _over_all(batches, partial(_earliest, told={"n_records": np.add}))


def combine(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The first row of each run of one uid; its n_records is the run's sum, its opt_outs all that any of them has."""
    return _firsts(batch, "uid", _TOLD)


def _earliest(batch: pa.RecordBatch, told: Mapping[str, np.ufunc]) -> pa.RecordBatch:
    """The earliest row of each run of one key."""
    return _firsts(batch.sort_by(_EARLIEST_OF_KEY), "key", told)


def _over_all(batches: Batches, combine: Callable[[pa.RecordBatch], pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    open_row: pa.RecordBatch | None = None  # the last run so far: more of its records may follow
    for batch in batches:
        if batch.num_rows == 0:
            continue
        combined = combine(batch if open_row is None else pa.concat_batches([open_row, batch]))
        open_row = combined.slice(combined.num_rows - 1)
        if combined.num_rows > 1:
            yield combined.slice(0, combined.num_rows - 1)
    if open_row is not None:
        yield open_row


def _firsts(batch: pa.RecordBatch, name: str, told: Mapping[str, np.ufunc]) -> pa.RecordBatch:
    """The first row of each run of one value of a column, the columns `told` summed up over the run."""
    if batch.num_rows == 0:
        return batch
    runs = batch[name]
    changes = pc.not_equal(runs.slice(1), runs.slice(0, len(runs) - 1)).to_numpy(zero_copy_only=False)
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])  # (number of runs,) int64
    kept = batch.take(pa.array(starts))
    for column, total in told.items():
        values = pa.array(total.reduceat(batch[column].to_numpy(), starts), pa.int32())
        kept = kept.set_column(kept.schema.get_field_index(column), column, values)
    return kept
