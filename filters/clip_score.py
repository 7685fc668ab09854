"""clip_score: keeps pairs whose CLIP similarity reaches a threshold, given or found as the top fraction of the pool."""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from filters.contract import Filter, Pool
from filters.registry import Entry, Request, checked_fraction
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
        scores = _scores(batch, self.column)
        return pa.array(scores >= scores.dtype.type(self.at_least))


@dataclass(frozen=True)
class TopFraction:
    """The top `fraction` of the pool by `column`, by DataComp's rule.

    The threshold is the score at 0-based place int(N · fraction) in descending order, N counting rows without a score: so one
    row more than the fraction is kept, plus ties. Where that place has no score (fraction 1 fails in DataComp's script, one
    that reaches the rows without a score gives an empty subset there), every row that has a score is kept here.
    """

    column: str
    fraction: float
    name: ClassVar[str] = "clip_score"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)

    def resolve(self, pool: Pool) -> Filter:
        """The threshold, in one pass; 4 bytes of memory per row. Raises UserError for a pool without rows."""
        parts = [_scores(batch, self.column) for batch in pool()]
        scores = np.concatenate(parts) if parts else np.empty(0, np.float32)
        if not len(scores):
            raise UserError(f"{self.column}: no rows to take a fraction of")
        place = int(len(scores) * self.fraction)
        present = scores[~np.isnan(scores)]
        if place >= len(present):
            return ClipScore(self.column, -math.inf)
        at_least = np.partition(present, len(present) - 1 - place)[len(present) - 1 - place]
        return ClipScore(self.column, float(at_least))


def _scores(batch: pa.RecordBatch, column: str) -> np.ndarray:
    scores: np.ndarray = batch[column].to_numpy(zero_copy_only=False)
    try:
        return scores if scores.dtype.kind == "f" else scores.astype(np.float32)
    except (ValueError, TypeError) as error:
        raise UserError(f"column {column}: not numbers ({batch[column].type}); score the pool again") from error


def _build(request: Request) -> ClipScore | TopFraction:
    if request.arch is None:
        raise UsageError("clip_score: give --arch: b32, l14 or the name of another scored column")
    if (request.threshold is None) == (request.fraction is None):
        raise UsageError("clip_score: give either --threshold or --fraction")
    column = CLIP_COLUMN.format(name=request.arch)
    if column not in request.columns:
        raise UserError(f"--arch {request.arch}: the metadata has no column {column}; it has: {_arches(request.columns)}")
    if request.fraction is not None:
        return TopFraction(column, checked_fraction(request.fraction))
    return ClipScore(column, request.threshold or 0.0)


def _arches(columns: tuple[str, ...]) -> str:
    found = [clip_name(column) for column in columns if is_clip_column(column)]
    return ", ".join(found) or "none"


ENTRY = Entry(
    name="clip_score",
    summary="pairs whose CLIP similarity reaches a threshold, or the top fraction of the pool",
    takes=frozenset({"arch", "threshold", "fraction"}),
    build=_build,
)
