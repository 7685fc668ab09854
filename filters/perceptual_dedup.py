"""perceptual_dedup: drops pairs whose image looks like that of an earlier pair, by the bits that `webpairs dedup` stored."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from filters.needed import FROM_DEDUP, require_columns
from filters.registry import Context, Entry, parameter
from schemas.errors import UsageError

HASH_BITS = 64
_READS = ("phash_dup_of", "phash_dup_bits")


@dataclass(frozen=True)
class PerceptualDedup:
    """Keeps rows that are no copy (`phash_dup_of` is null), or whose 64-bit perceptual hash differs in more than `bits` bits.

    Zauner 2010, "Implementation and benchmarking of perceptual image hash functions" (the hash of DCT coefficients, compared by
    Hamming distance). A copy of unknown distance is dropped. `webpairs dedup` notes copies up to a distance: more bits act as
    that distance.
    """

    bits: int
    name: ClassVar[str] = "perceptual_dedup"
    reads: ClassVar[tuple[str, ...]] = _READS

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the row is kept."""
        distances = batch["phash_dup_bits"].cast(pa.float64()).to_numpy(zero_copy_only=False)  # null becomes NaN: not more
        single = batch["phash_dup_of"].is_null().to_numpy(zero_copy_only=False)
        return pa.array(single | np.asarray(distances > self.bits))


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What perceptual_dedup is told."""

    bits: int = parameter("the most bits of 64 in which the hashes of copies differ; images that differ in more are kept", 4)


def _build(asked: Parameters, context: Context) -> PerceptualDedup:
    if not 0 <= asked.bits <= HASH_BITS:
        raise UsageError(f"perceptual_dedup: bits {asked.bits}: must be from 0 to {HASH_BITS}")
    require_columns("perceptual_dedup", _READS, context, FROM_DEDUP)
    return PerceptualDedup(asked.bits)


ENTRY = Entry(
    name="perceptual_dedup",
    summary="one pair of each group of images that look alike",
    source="Zauner 2010, Implementation and benchmarking of perceptual image hash functions",
    parameters=Parameters,
    build=_build,
)
