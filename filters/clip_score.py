"""clip_score: keeps pairs whose CLIP similarity reaches a threshold, given or found as the top fraction of the pool."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from filters.contract import Filter, Pool
from filters.measured import Stored, checked_fraction, rounded, threshold_at
from filters.registry import Context, Entry, parameter
from schemas.errors import UsageError, UserError
from schemas.scores import CLIP_COLUMN, clip_name, is_clip_column


@dataclass(frozen=True)
class ClipScore:
    """Keeps rows whose similarity in `column` is at least `at_least`. Drops NaN and null.

    The threshold is rounded to the column's own precision (float32) before it is compared, as in DataComp.
    """

    column: str
    at_least: float
    name: ClassVar[str] = "clip_score"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the score reaches the threshold."""
        scores = Stored(self.column).measure(batch)
        return pa.array(scores >= rounded(self.at_least, scores))


@dataclass(frozen=True)
class TopFraction:
    """The top `fraction` of the pool by `column`, by DataComp's rule (filters.measured.threshold_at)."""

    column: str
    fraction: float
    name: ClassVar[str] = "clip_score"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)

    def resolve(self, pool: Pool) -> Filter:
        """The threshold, in one pass; 4 bytes of memory per row. Raises UserError for a pool without rows."""
        scores = (Stored(self.column).measure(batch) for batch in pool(self.reads))
        return ClipScore(self.column, threshold_at(scores, self.fraction, self.column))


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What clip_score is told."""

    arch: str | None = parameter("b32, l14 or another NAME with a column clip_NAME_similarity_score", None)
    threshold: float | None = parameter("the least similarity that is kept", None)
    fraction: float | None = parameter("instead: the share of the pool that is kept, 0 to 1", None)


def clip_column_of(arch: str, context: Context) -> str:
    """The column of a model's similarities. Raises UserError where the metadata has none, naming those that it has."""
    column = CLIP_COLUMN.format(name=arch)
    if column not in context.columns:
        found = ", ".join(clip_name(name) for name in context.columns if is_clip_column(name)) or "none"
        raise UserError(f"--arch {arch}: the metadata has no column {column}; it has: {found}")
    return column


def _build(asked: Parameters, context: Context) -> ClipScore | TopFraction:
    if asked.arch is None:
        raise UsageError("clip_score: give --arch: b32, l14 or the name of another scored column")
    if (asked.threshold is None) == (asked.fraction is None):
        raise UsageError("clip_score: give either --threshold or --fraction")
    column = clip_column_of(asked.arch, context)
    if asked.fraction is not None:
        return TopFraction(column, checked_fraction(asked.fraction))
    return ClipScore(column, asked.threshold or 0.0)


ENTRY = Entry(
    name="clip_score",
    summary="pairs whose CLIP similarity reaches a threshold, or the top fraction of the pool",
    source="Gadre et al. 2023, DataComp; Schuhmann et al. 2021, LAION-400M",
    parameters=Parameters,
    build=_build,
)
