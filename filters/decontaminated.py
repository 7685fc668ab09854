"""decontaminated: drops pairs whose image is, or nearly is, one of an evaluation set, as `webpairs decontaminate` marked them."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.needed import FROM_DECONTAMINATE, require_columns
from filters.perceptual_dedup import HASH_BITS
from filters.registry import Context, Entry, parameter
from schemas.errors import UsageError

_READS = ("eval_set", "eval_cos", "eval_bits")


@dataclass(frozen=True)
class Decontaminated:
    """Drops rows near an evaluation image: cosine at least `cosine`, or hashes that differ in at most `bits` bits.

    Gadre et al. 2023, DataComp, section 3.2 (near-duplicates of test images are removed from the pool). With `sets` only images
    of these sets count; `eval_set` names the set of the nearest image alone.
    """

    cosine: float
    bits: int
    sets: tuple[str, ...] | None = None
    name: ClassVar[str] = "decontaminated"
    reads: ClassVar[tuple[str, ...]] = _READS

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where no evaluation image is near."""
        marked = batch["eval_set"]
        counts = marked.is_valid() if self.sets is None else pc.is_in(marked, pa.array(self.sets, marked.type))
        cosines = batch["eval_cos"].cast(pa.float32()).to_numpy(zero_copy_only=False)
        distances = batch["eval_bits"].cast(pa.float64()).to_numpy(zero_copy_only=False)
        near = (cosines >= np.float32(self.cosine)) | (distances <= self.bits)  # unknown is NaN, and NaN is not near
        return pa.array(~(counts.to_numpy(zero_copy_only=False) & near))


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What decontaminated is told."""

    cosine: float = parameter("the cosine of embeddings from which on an image counts as that of the evaluation set", 0.95)
    bits: int = parameter("the most bits of 64 in which the perceptual hash of a copy differs", 4)
    sets: tuple[str, ...] | None = parameter("the evaluation sets that count; without it all of them", None)


def _build(asked: Parameters, context: Context) -> Decontaminated:
    if not -1 <= asked.cosine <= 1:
        raise UsageError(f"decontaminated: cosine {asked.cosine}: a cosine is from -1 to 1")
    if not 0 <= asked.bits <= HASH_BITS:
        raise UsageError(f"decontaminated: bits {asked.bits}: must be from 0 to {HASH_BITS}")
    require_columns("decontaminated", _READS, context, FROM_DECONTAMINATE)
    return Decontaminated(asked.cosine, asked.bits, asked.sets)


ENTRY = Entry(
    name="decontaminated",
    summary="pairs whose image is in no evaluation set, nor nearly",
    source="Gadre et al. 2023, DataComp (decontamination of the pool against the evaluation sets)",
    parameters=Parameters,
    build=_build,
)
