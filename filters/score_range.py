"""score_range: keeps rows whose number in a stored column lies in a range, or that are the top fraction by it."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from filters.contract import Filter, Pool
from filters.measured import Stored, checked_fraction, rounded, threshold_at
from filters.needed import require_columns
from filters.registry import Context, Entry, parameter
from schemas.errors import UsageError


@dataclass(frozen=True)
class ScoreRange:
    """Keeps rows whose number in `column` is at least `at_least` and at most `at_most`; rows without one by `missing`.

    Bounds are rounded to the column's own precision (float32) before they are compared, as in DataComp.
    """

    column: str
    at_least: float = -math.inf
    at_most: float = math.inf
    missing: Literal["drop", "keep"] = "drop"
    name: ClassVar[str] = "score_range"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the number lies between the bounds, or is null or NaN and `missing` is "keep"."""
        values = Stored(self.column).measure(batch)
        inside = (values >= rounded(self.at_least, values)) & (values <= rounded(self.at_most, values))
        return pa.array(inside | np.isnan(values) if self.missing == "keep" else inside)


@dataclass(frozen=True)
class TopScores:
    """The top `fraction` of the pool by `column`, by DataComp's rule (filters.measured.threshold_at).

    Rows without a number count as rows of the pool; with `missing` "keep" they are kept beside the fraction.
    """

    column: str
    fraction: float
    missing: Literal["drop", "keep"] = "drop"
    name: ClassVar[str] = "score_range"

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)

    def resolve(self, pool: Pool) -> Filter:
        """The range, in one pass; 4 or 8 bytes of memory per row. Raises UserError for a pool without rows."""
        scores = (Stored(self.column).measure(batch) for batch in pool(self.reads))
        return ScoreRange(self.column, at_least=threshold_at(scores, self.fraction, self.column), missing=self.missing)


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What score_range is told."""

    column: str = parameter("the column of numbers, such as aesthetic_score or nsfw_score")
    at_least: float | None = parameter("the least number that is kept", None)
    at_most: float | None = parameter("the greatest number that is kept", None)
    fraction: float | None = parameter(
        "instead of bounds: the share of the pool that is kept, that of the greatest numbers", None
    )
    missing: Literal["drop", "keep"] = parameter("what becomes of rows without a number", "drop")


def _build(asked: Parameters, context: Context) -> ScoreRange | TopScores:
    require_columns("score_range", [asked.column], context, "score the pool, or give the folder that has it with --beside DIR")
    bounded = asked.at_least is not None or asked.at_most is not None
    if bounded == (asked.fraction is not None):
        raise UsageError("score_range: give at_least, at_most or both, or else fraction")
    if asked.fraction is not None:
        return TopScores(asked.column, checked_fraction(asked.fraction), asked.missing)
    at_least = -math.inf if asked.at_least is None else asked.at_least
    at_most = math.inf if asked.at_most is None else asked.at_most
    if at_least > at_most:
        raise UsageError(f"score_range: at_least {at_least} is more than at_most {at_most}")
    return ScoreRange(asked.column, at_least, at_most, asked.missing)


ENTRY = Entry(
    name="score_range",
    summary="rows whose number in any stored column lies in a range, or the top fraction by it",
    source="Gadre et al. 2023, DataComp (thresholds and fractions of a score); Schuhmann et al. 2022, LAION-5B (aesthetic, NSFW)",
    parameters=Parameters,
    build=_build,
)
