"""semantic_dedup: drops pairs whose image is nearly that of an earlier pair, by the cosine that `webpairs dedup` stored."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from filters.needed import FROM_DEDUP, require_columns
from filters.registry import Context, Entry, parameter
from schemas.errors import UsageError

_READS = ("dup_of", "dup_cos")


@dataclass(frozen=True)
class SemanticDedup:
    """Keeps rows that are no duplicate (`dup_of` is null), or one less similar than `cosine`.

    Abbas et al. 2023, "SemDeDup: data-efficient learning at web-scale through semantic deduplication": there epsilon is
    1 - cosine. A duplicate of unknown cosine is dropped. `webpairs dedup` notes duplicates down to a floor: a cosine below
    it acts as the floor.
    """

    cosine: float
    name: ClassVar[str] = "semantic_dedup"
    reads: ClassVar[tuple[str, ...]] = _READS

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the row is kept."""
        cosines = batch["dup_cos"].cast(pa.float32()).to_numpy(zero_copy_only=False)  # null becomes NaN, and NaN is not less
        single = batch["dup_of"].is_null().to_numpy(zero_copy_only=False)
        return pa.array(single | (cosines < np.float32(self.cosine)))


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What semantic_dedup is told."""

    cosine: float = parameter("the cosine from which on a pair is a duplicate and dropped, -1 to 1", 0.95)


def _build(asked: Parameters, context: Context) -> SemanticDedup:
    if not -1 <= asked.cosine <= 1:
        raise UsageError(f"semantic_dedup: cosine {asked.cosine}: a cosine is from -1 to 1")
    require_columns("semantic_dedup", _READS, context, FROM_DEDUP)
    return SemanticDedup(asked.cosine)


ENTRY = Entry(
    name="semantic_dedup",
    summary="one pair of each group of images with nearly the same embedding",
    source="Abbas et al. 2023, SemDeDup",
    parameters=Parameters,
    build=_build,
)
