"""One survivor per uid: the earliest record, told how many there were and whether any of their pages opts out.

In: batches in which the records of a uid stand together, the earliest first. Out: the same columns, one row per uid. Bounded by
the batch, however many records a uid has.
"""

from collections.abc import Iterable, Iterator
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# The order that decides who survives; an unknown date comes last (pyarrow's and the shuffle's nulls alike).
EARLIEST_BY = ("sample_rank", "uid", "fetched_at", "wat_path", "record_offset", "page_url", "source")
EARLIEST: list[tuple[str, Literal["ascending"]]] = [(name, "ascending") for name in EARLIEST_BY]


def survivors(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """One row per uid over all batches."""
    open_row: pa.RecordBatch | None = None  # the last uid so far: more of its records may follow
    for batch in batches:
        if batch.num_rows == 0:
            continue
        combined = combine(batch if open_row is None else pa.concat_batches([open_row, batch]))
        open_row = combined.slice(combined.num_rows - 1)
        if combined.num_rows > 1:
            yield combined.slice(0, combined.num_rows - 1)
    if open_row is not None:
        yield open_row


def combine(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The first row of each run of one uid; its n_records is the run's sum, its opted_out the run's "any"."""
    if batch.num_rows == 0:
        return batch
    uid = batch["uid"]
    changes = pc.not_equal(uid.slice(1), uid.slice(0, len(uid) - 1)).to_numpy(zero_copy_only=False)
    starts = np.concatenate([[0], np.flatnonzero(changes) + 1])  # (number of uids,) int64
    records = np.add.reduceat(batch["n_records"].to_numpy(), starts)
    opted_out = np.logical_or.reduceat(batch["opted_out"].to_numpy(zero_copy_only=False), starts)
    kept = batch.take(pa.array(starts))
    kept = kept.set_column(kept.schema.get_field_index("n_records"), "n_records", pa.array(records, pa.int32()))
    return kept.set_column(kept.schema.get_field_index("opted_out"), "opted_out", pa.array(opted_out, pa.bool_()))
