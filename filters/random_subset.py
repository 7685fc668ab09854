"""random_subset: a random share of the pool, or as many rows as another subset has: the control of every other filter."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from filters.contract import Filter, Pool
from filters.measured import checked_fraction
from filters.registry import Context, Entry, parameter
from filters.uids.uid_hash import uid_hashes
from schemas.errors import UsageError

_TOP = 2**64


@dataclass(frozen=True)
class RandomSubset:
    """Keeps rows whose hash of (seed, uid) is below `below` of 2^64: the same rows however the files are cut or ordered."""

    below: int
    seed: int
    name: ClassVar[str] = "random_subset"
    reads: ClassVar[tuple[str, ...]] = ("uid",)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the hash is small enough."""
        hashes = uid_hashes(batch, self.seed)
        return pa.array(hashes < np.uint64(self.below) if self.below < _TOP else np.ones(len(hashes), bool))


@dataclass(frozen=True)
class RandomOfSize:
    """The `rows` rows of the smallest hashes; a smaller pool is kept whole.

    Copies of one uid have one hash, so they come or go together: at the border this may add a row.
    """

    rows: int
    seed: int
    name: ClassVar[str] = "random_subset"
    reads: ClassVar[tuple[str, ...]] = ("uid",)

    def resolve(self, pool: Pool) -> Filter:
        """The hash at which the pool is cut, in one pass; 8 bytes of memory per row."""
        hashes = np.concatenate([np.empty(0, np.uint64), *(uid_hashes(batch, self.seed) for batch in pool(self.reads))])
        if self.rows >= len(hashes):
            return RandomSubset(_TOP, self.seed)
        if self.rows == 0:
            return RandomSubset(0, self.seed)
        return RandomSubset(int(np.partition(hashes, self.rows - 1)[self.rows - 1]) + 1, self.seed)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What random_subset is told."""

    fraction: float | None = parameter("the share of the pool that is kept, 0 to 1", None)
    rows: int | None = parameter("instead: how many rows are kept (--like FILE.npy: as many as that subset has)", None)
    seed: int = parameter("another seed, other rows", 0)


def _build(asked: Parameters, _: Context) -> RandomSubset | RandomOfSize:
    if (asked.fraction is None) == (asked.rows is None):
        raise UsageError("random_subset: give either --fraction or --like FILE.npy")
    if asked.fraction is not None:
        return RandomSubset(int(checked_fraction(asked.fraction) * _TOP), asked.seed)
    return RandomOfSize(asked.rows or 0, asked.seed)


ENTRY = Entry(
    name="random_subset",
    summary="a random fraction of the pool, or as many rows as another subset has",
    source="the control of every filter of that size",
    parameters=Parameters,
    build=_build,
)
