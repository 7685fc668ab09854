"""Filters made of filters: all, any, not."""

from dataclasses import dataclass
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.contract import Filter, columns_of


@dataclass(frozen=True)
class All:
    """Keeps what every member keeps; without members, everything."""

    members: tuple[Filter, ...]

    @property
    def name(self) -> str:
        return f"all({', '.join(member.name for member in self.members)})"

    @property
    def reads(self) -> tuple[str, ...]:
        return columns_of(*self.members)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where all members answer True."""
        return reduce(pc.and_, [member.keep(batch) for member in self.members], constant(batch.num_rows, kept=True))


@dataclass(frozen=True)
class Any:
    """Keeps what some member keeps; without members, nothing."""

    members: tuple[Filter, ...]

    @property
    def name(self) -> str:
        return f"any({', '.join(member.name for member in self.members)})"

    @property
    def reads(self) -> tuple[str, ...]:
        return columns_of(*self.members)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where at least one member answers True."""
        return reduce(pc.or_, [member.keep(batch) for member in self.members], constant(batch.num_rows, kept=False))


@dataclass(frozen=True)
class Not:
    """Keeps what its member drops."""

    member: Filter

    @property
    def name(self) -> str:
        return f"not({self.member.name})"

    @property
    def reads(self) -> tuple[str, ...]:
        return self.member.reads

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the member answers False."""
        return pc.invert(self.member.keep(batch))


def constant(rows: int, *, kept: bool) -> pa.BooleanArray:
    """The same answer for every row."""
    return pa.array(np.full(rows, kept))


def rules_of(combined: Filter) -> tuple[Filter, ...]:
    """The rules that a waterfall shows one by one: the members of an All, nested ones included; else the filter itself."""
    if isinstance(combined, All):
        return tuple(rule for member in combined.members for rule in rules_of(member))
    return (combined,)
