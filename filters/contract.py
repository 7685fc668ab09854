"""What a filter is: it reads columns of a batch and answers keep or drop. A selector first looks at the whole pool."""

from collections.abc import Callable, Iterable
from typing import Protocol, runtime_checkable

import pyarrow as pa

# Gives the pool's batches from the start each time it is called, with at least the columns that the asker reads.
Pool = Callable[[], Iterable[pa.RecordBatch]]


@runtime_checkable
class Filter(Protocol):
    """A frozen dataclass that decides row by row."""

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


def columns_of(*filters: Filter | Selector) -> tuple[str, ...]:
    """The columns that all of them read, each once, in order of first use."""
    return tuple(dict.fromkeys(column for each in filters for column in each.reads))
