"""no_filter: keeps everything. The control that every ranking needs."""

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from filters.compose import constant
from filters.registry import Context, Entry, NoParameters


@dataclass(frozen=True)
class NoFilter:
    """Keeps every row."""

    name: ClassVar[str] = "no_filter"
    reads: ClassVar[tuple[str, ...]] = ()

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True."""
        return constant(batch.num_rows, kept=True)


def _build(_: NoParameters, _context: Context) -> NoFilter:
    return NoFilter()


ENTRY = Entry(
    name="no_filter", summary="every pair", source="the control of every ranking", parameters=NoParameters, build=_build
)
