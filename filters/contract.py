"""What a filter is: it reads columns of a batch and answers keep or drop. A selector first looks at the whole pool.

Beside them: a measure, which makes a number of a row for others to cut, and a sampler, which says how often a kept row is seen.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import pyarrow as pa

# Gives the pool's batches from the start each time it is called, with at least the columns that it is called with. Embeddings
# are columns, too: `l14_img` of the .npz is a fixed-size list of half floats (filters.embeddings).
Pool: TypeAlias = Callable[[Sequence[str]], Iterable[pa.RecordBatch]]


@runtime_checkable
class Filter(Protocol):
    """A frozen dataclass that decides row by row.

    One that says `costly = 1` does much for every row, and is asked after the others, for the rows that they left. `costly = 2`:
    it does so in Python, or through a library that does not let other threads work: it is asked last, on worker processes.
    """

    @property
    def name(self) -> str:
        """What it is called in recipes, waterfalls and documentation."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns it needs."""
        ...

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) booleans for the n rows of the batch, no nulls, True = keep."""
        ...


@runtime_checkable
class Selector(Protocol):
    """A frozen dataclass whose decision depends on the whole pool, such as "the top 30 %"."""

    @property
    def name(self) -> str:
        """What it is called in recipes, waterfalls and documentation."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns it needs for its one pass over the pool."""
        ...

    def resolve(self, pool: Pool) -> Filter:
        """The filter that this selector comes to on this pool, found in one pass over `reads`."""
        ...


@runtime_checkable
class Measure(Protocol):
    """A frozen dataclass that makes a number of every row, to be cut at a threshold or a top fraction, or kept as a column."""

    @property
    def name(self) -> str:
        """What it is called in recipes and documentation."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns it needs."""
        ...

    def measure(self, batch: pa.RecordBatch) -> np.ndarray:
        """(n,) float32 for the n rows of the batch, NaN where a row has none. More is better."""
        ...


@runtime_checkable
class PoolMeasure(Protocol):
    """A frozen dataclass whose numbers depend on the whole pool, such as a similarity less that of the pool's other pairs."""

    @property
    def name(self) -> str:
        """What it is called in recipes and documentation."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns it needs."""
        ...

    def prepare(self, pool: Pool) -> Measure:
        """The measure that it comes to on this pool, found in one pass over `reads`."""
        ...


@runtime_checkable
class Draw(Protocol):
    """How often each row is seen: what a sampler came to on a pool."""

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns it needs."""
        ...

    def repeats(self, batch: pa.RecordBatch) -> np.ndarray:
        """(n,) int64: how many times each of the n rows of the batch is seen, 0 for never."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """A frozen dataclass that decides, of the rows that a filter keeps, how often each is seen: repeated uids are weights."""

    @property
    def name(self) -> str:
        """What it is called in recipes and documentation."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns it needs for its one pass over the kept rows."""
        ...

    def draw(self, kept: Pool) -> Draw:
        """The draw from these rows, found in one pass over `reads`."""
        ...


Rule: TypeAlias = Filter | Selector


def columns_of(*parts: Filter | Selector | Measure | PoolMeasure | Sampler | Draw) -> tuple[str, ...]:
    """The columns that all of them read, each once, in order of first use."""
    return tuple(dict.fromkeys(column for part in parts for column in part.reads))


def is_costly(part: object) -> bool:
    """Whether a filter, or a member of it, is better asked for few rows."""
    return cost_of(part) > 0


def holds_threads(part: object) -> bool:
    """Whether a filter, or a member of it, keeps other threads from working meanwhile."""
    return cost_of(part) > 1


def cost_of(part: object) -> int:
    """0: vectorised; 1: more than that for every row; 2: in Python, or through a library that holds other threads."""
    return int(getattr(part, "costly", 0))
