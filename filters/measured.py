"""A measure → filters: at least a threshold, the top fraction of the pool, a range."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.contract import Filter, Measure, Pool, PoolMeasure, cost_of
from schemas.errors import UsageError, UserError


@dataclass(frozen=True)
class Stored:
    """The numbers of a column in their own precision, NaN for null; what are no floats (whole numbers, decimals) as float64.

    Raises UserError for what are no numbers.
    """

    column: str

    @property
    def name(self) -> str:
        return self.column

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column,)

    def measure(self, batch: pa.RecordBatch) -> np.ndarray:
        """(n,) floats."""
        column = batch[self.column]
        if not pa.types.is_floating(column.type):
            column = self._as_floats(column)
        values: np.ndarray = column.to_numpy(zero_copy_only=False)
        return values

    def _as_floats(self, column: pa.Array) -> pa.Array:
        """Float64 whether or not a batch has nulls: one column is cut by one precision."""
        if pa.types.is_temporal(column.type):
            raise UserError(f"column {self.column}: not numbers ({column.type}); give a column of numbers")
        try:
            return pc.cast(column, pa.float64(), safe=False)
        except pa.ArrowException as error:
            raise UserError(f"column {self.column}: not numbers ({column.type}); score the pool again") from error


@dataclass(frozen=True)
class Between:
    """Keeps rows whose measure is at least `at_least` and at most `at_most`. Drops NaN.

    Bounds are rounded to the measure's own precision before they are compared, as DataComp's scripts do.
    """

    measure: Measure
    at_least: float = -math.inf
    at_most: float = math.inf

    @property
    def name(self) -> str:
        return self.measure.name

    @property
    def reads(self) -> tuple[str, ...]:
        return self.measure.reads

    @property
    def costly(self) -> int:
        return cost_of(self.measure)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the measure lies between the bounds."""
        values = self.measure.measure(batch)
        return pa.array((values >= rounded(self.at_least, values)) & (values <= rounded(self.at_most, values)))


@dataclass(frozen=True)
class Top:
    """The top `fraction` of the pool by a measure, by DataComp's rule (`threshold_at`).

    The measure is computed twice for every row, once to find the threshold: `webpairs measure` stores a costly one.
    """

    measure: Measure | PoolMeasure
    fraction: float

    @property
    def name(self) -> str:
        return self.measure.name

    @property
    def reads(self) -> tuple[str, ...]:
        return self.measure.reads

    def resolve(self, pool: Pool) -> Filter:
        """The threshold, in one pass, or two where the measure needs one for itself; 4 bytes of memory per row."""
        measure = prepared(self.measure, pool)
        values = (measure.measure(batch) for batch in pool(self.reads))
        return Between(measure, threshold_at(values, self.fraction, measure.name))


@dataclass(frozen=True)
class AtLeast:
    """Keeps rows whose measure is at least `at_least`, for a measure that has to see the pool first."""

    measure: PoolMeasure
    at_least: float

    @property
    def name(self) -> str:
        return self.measure.name

    @property
    def reads(self) -> tuple[str, ...]:
        return self.measure.reads

    def resolve(self, pool: Pool) -> Filter:
        """The measure on this pool, in one pass."""
        return Between(self.measure.prepare(pool), self.at_least)


def rounded(bound: float, values: np.ndarray) -> np.floating:
    """A bound in the precision of (n,) floats; infinite where that does not reach so far."""
    with np.errstate(over="ignore"):
        found: np.floating = values.dtype.type(bound)
        return found


def prepared(measure: Measure | PoolMeasure, pool: Pool) -> Measure:
    """The measure, prepared on the pool where it needs that."""
    return measure.prepare(pool) if isinstance(measure, PoolMeasure) else measure


def cut(measure: Measure | PoolMeasure, threshold: float | None, fraction: float | None) -> Between | Top | AtLeast:
    """The filter by a threshold or by a fraction, of which exactly one is given. Raises UsageError."""
    if (threshold is None) == (fraction is None):
        raise UsageError(f"{measure.name}: give either --threshold or --fraction")
    if fraction is not None:
        return Top(measure, checked_fraction(fraction))
    assert threshold is not None  # noqa: S101 - for mypy
    return AtLeast(measure, threshold) if isinstance(measure, PoolMeasure) else Between(measure, threshold)


def threshold_at(parts: Iterable[np.ndarray], fraction: float, name: str) -> float:
    """DataComp's threshold of the top fraction: the score at 0-based place int(N · fraction) in descending order.

    N counts rows without a score (NaN), so one row more than the fraction is kept, plus ties. Where that place has no score
    (fraction 1 fails in DataComp's script, one that reaches the rows without a score gives an empty subset there) it is minus
    infinity: every row that has a score is kept. Raises UserError for a pool without rows.
    """
    scores = np.concatenate([np.empty(0, np.float32), *parts])
    if not len(scores):
        raise UserError(f"{name}: no rows to take a fraction of")
    place = int(len(scores) * fraction)
    present = scores[~np.isnan(scores)]
    if place >= len(present):
        return -math.inf
    return float(np.partition(present, len(present) - 1 - place)[len(present) - 1 - place])


def checked_fraction(fraction: float) -> float:
    """The fraction. Raises UsageError where it is not from 0 to 1."""
    if not 0 <= fraction <= 1:
        raise UsageError(f"--fraction {fraction}: must be from 0 to 1")
    return fraction
