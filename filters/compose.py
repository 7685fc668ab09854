"""Filters made of filters: all, any, not, and then, whose selectors see only what the members before them keep."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.contract import Filter, Pool, Rule, Selector, columns_of, cost_of, is_costly


@dataclass(frozen=True)
class All:
    """Keeps what every member keeps; without members, everything."""

    members: tuple[Rule, ...]

    @property
    def name(self) -> str:
        return f"all({', '.join(member.name for member in self.members)})"

    @property
    def reads(self) -> tuple[str, ...]:
        return columns_of(*self.members)

    @property
    def costly(self) -> int:
        return max((cost_of(member) for member in self.members), default=0)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where all members answer True. A costly member is asked only for the rows that the others keep."""
        kept = np.ones(batch.num_rows, bool)
        for member in cheap_first(self.members):
            kept[kept] = answers(member, batch, kept)
        return pa.array(kept)


@dataclass(frozen=True)
class Any:
    """Keeps what some member keeps; without members, nothing."""

    members: tuple[Rule, ...]

    @property
    def name(self) -> str:
        return f"any({', '.join(member.name for member in self.members)})"

    @property
    def reads(self) -> tuple[str, ...]:
        return columns_of(*self.members)

    @property
    def costly(self) -> int:
        return max((cost_of(member) for member in self.members), default=0)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where at least one member answers True. A costly member is asked only for the rows that no other keeps."""
        dropped = np.ones(batch.num_rows, bool)
        for member in cheap_first(self.members):
            dropped[dropped] = ~answers(member, batch, dropped)
        return pa.array(~dropped)


@dataclass(frozen=True)
class Not:
    """Keeps what its member drops."""

    member: Rule

    @property
    def name(self) -> str:
        return f"not({self.member.name})"

    @property
    def reads(self) -> tuple[str, ...]:
        return self.member.reads

    @property
    def costly(self) -> int:
        return cost_of(self.member)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the member answers False."""
        return pc.invert(_resolved(self.member).keep(batch))


@dataclass(frozen=True)
class Then:
    """`All` of filters that are found one after the other: "the top 30 %" is that of the rows that the members before it keep."""

    members: tuple[Rule, ...]

    @property
    def name(self) -> str:
        return f"then({', '.join(member.name for member in self.members)})"

    @property
    def reads(self) -> tuple[str, ...]:
        return columns_of(*self.members)

    def resolve(self, pool: Pool) -> Filter:
        """The members, each found on what those before it keep, as an `All`; as soon as these keep nothing, they alone."""
        found: list[Filter] = []
        for member in self.members:
            left = narrowed(pool, All(tuple(found))) if found else pool
            if found and not any(batch.num_rows for batch in left(())):
                break
            found.append(resolve(member, left))
        return All(tuple(found))


def resolve(asked: Rule, pool: Pool) -> Filter:
    """The filter that a composition comes to on this pool: every selector in it resolved, in a pass over the pool each."""
    if isinstance(asked, All | Any):
        return type(asked)(tuple(resolve(member, pool) for member in asked.members))
    if isinstance(asked, Not):
        return Not(resolve(asked.member, pool))
    return asked.resolve(pool) if isinstance(asked, Selector) else asked


def narrowed(pool: Pool, kept_by: Filter) -> Pool:
    """The rows of a pool that a filter keeps, as a pool."""

    def rows(columns: Sequence[str]) -> Iterable[pa.RecordBatch]:
        for batch in pool(tuple(dict.fromkeys((*columns, *kept_by.reads)))):
            yield batch.filter(kept_by.keep(batch))

    return rows


def answers(rule: Rule, batch: pa.RecordBatch, asked: np.ndarray) -> np.ndarray:
    """The answers, bool, for the rows of `asked`, (n,) bool, in order. Only a costly rule saves by being asked for fewer."""
    if not is_costly(rule) or asked.all():
        whole: np.ndarray = _answers(rule, batch)[asked]
        return whole
    return _answers(rule, batch.filter(pa.array(asked)))


def cheap_first(rules: Iterable[Rule]) -> list[Rule]:
    """In their order, but the costly ones last."""
    return sorted(rules, key=cost_of)


def constant(rows: int, *, kept: bool) -> pa.BooleanArray:
    """The same answer for every row."""
    return pa.array(np.full(rows, kept))


def rules_of(combined: Filter) -> tuple[Filter, ...]:
    """The rules that a waterfall shows one by one: the members of an All, nested ones included; else the filter itself."""
    if isinstance(combined, All):
        return tuple(rule for member in combined.members for rule in rules_of(_resolved(member)))
    return (combined,)


def leaves_of(part: Rule, visit: Callable[[Rule], None]) -> None:
    """Call `visit` with every filter and selector of a composition that is not itself one."""
    if isinstance(part, All | Any | Then):
        for member in part.members:
            leaves_of(member, visit)
    elif isinstance(part, Not):
        leaves_of(part.member, visit)
    else:
        visit(part)


def _answers(rule: Rule, batch: pa.RecordBatch) -> np.ndarray:
    answered: np.ndarray = np.asarray(_resolved(rule).keep(batch).to_numpy(zero_copy_only=False), bool)
    return answered


def _resolved(rule: Rule) -> Filter:
    if not isinstance(rule, Filter):
        raise TypeError(f"{rule.name} depends on the whole pool: resolve the composition first (filters.compose.resolve)")
    return rule
