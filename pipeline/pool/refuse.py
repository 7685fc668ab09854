"""Why a pair's pages opt out of AI use: robots directives and TDM reservation, as bits.

In: the columns robots and tdm_reserved. Out: an int32 per row; the bits of copies of a pair are or-ed.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.optout import refusals

# A pair that opts out in several ways is counted by the first of these. `none` stands before what it includes.
REASONS = ("noai", "noimageai", "none", "noindex", "noimageindex", "tdm")
_TDM = 1 << REASONS.index("tdm")


def opt_outs(batch: pa.RecordBatch) -> pa.Int32Array:
    """(n,) int32, 0 where the page does not opt out; bit i: by REASONS[i]."""
    robots = batch["robots"]
    words = pa.array(sorted(refusals()))
    bits = np.array([1 << REASONS.index(word.rsplit(":", 1)[-1]) for word in words.to_pylist()], np.int32)
    which = pc.index_in(pc.list_flatten(robots), value_set=words)
    refusing = pc.is_valid(which)
    rows = pc.list_parent_indices(robots).filter(refusing).to_numpy()
    found = np.zeros(batch.num_rows, np.int32)
    np.bitwise_or.at(found, rows, bits[which.filter(refusing).to_numpy()])
    reserved = pc.fill_null(batch["tdm_reserved"], False).to_numpy(zero_copy_only=False)
    return pa.array(found | np.where(reserved, _TDM, 0).astype(np.int32), pa.int32())


def by_first_reason(bits: pa.Int32Array) -> dict[str, int]:
    """How many rows opt out, by the first reason that holds."""
    left = np.asarray(bits)
    counts = {}
    for place, reason in enumerate(REASONS):
        hit = left & (1 << place) != 0
        counts[reason] = int(hit.sum())
        left = left[~hit]
    return counts
