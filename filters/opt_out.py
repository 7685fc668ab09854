"""opt_out: drops pairs whose pages opt out of the use for AI, by what the pool stage found or by the page's own directives."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.contract import Filter
from filters.registry import Context, Entry, parameter
from schemas.errors import UserError
from schemas.refusals import refusals

_JUDGED, _ROBOTS, _RESERVED = "opted_out", "robots", "tdm_reserved"


@dataclass(frozen=True)
class NotOptedOut:
    """Keeps rows whose `opted_out` is false; `unknown` says what becomes of null."""

    unknown: Literal["keep", "drop"]
    name: ClassVar[str] = "opt_out"
    reads: ClassVar[tuple[str, ...]] = (_JUDGED,)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where nobody opts out."""
        return pc.invert(pc.fill_null(batch[_JUDGED].cast(pa.bool_()), self.unknown == "drop"))


@dataclass(frozen=True)
class NotRefused:
    """Keeps rows whose page neither has a directive in `robots` that refuses (schemas.refusals) nor reserves (`tdm_reserved`).

    A page that says nothing of either is unknown: it was not looked at, or it is silent. One column may be missing.
    """

    reads: tuple[str, ...]
    unknown: Literal["keep", "drop"]
    name: ClassVar[str] = "opt_out"

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where nobody opts out."""
        refused, known = np.zeros(batch.num_rows, bool), np.zeros(batch.num_rows, bool)
        if _ROBOTS in self.reads:
            refused |= _has_refusal(batch[_ROBOTS].cast(pa.list_(pa.string())))
            known |= np.asarray(batch[_ROBOTS].is_valid())
        if _RESERVED in self.reads:
            reserved = batch[_RESERVED].cast(pa.bool_())
            refused |= np.asarray(pc.fill_null(reserved, False))
            known |= np.asarray(reserved.is_valid())
        return pa.array(~refused if self.unknown == "keep" else ~refused & known)


def _has_refusal(robots: pa.ListArray) -> np.ndarray:
    """(n,) bool: a directive of the list refuses. Case does not count."""
    refusing = pc.is_in(pc.utf8_lower(pc.list_flatten(robots)), value_set=pa.array(sorted(refusals())))
    found = np.zeros(len(robots), bool)
    found[pc.list_parent_indices(robots).filter(refusing).to_numpy()] = True
    return found


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What opt_out is told."""

    unknown: Literal["keep", "drop"] = parameter("what becomes of rows for which nothing is known", "keep")


def _build(asked: Parameters, context: Context) -> Filter:
    if _JUDGED in context.columns:  # of all the pages that carry the pair, not of one
        return NotOptedOut(asked.unknown)
    reads = tuple(name for name in (_ROBOTS, _RESERVED) if name in context.columns)
    if not reads:
        raise UserError(
            f"opt_out: the metadata has no column {_JUDGED}, {_ROBOTS} or {_RESERVED}; `webpairs pool` makes the first"
        )
    return NotRefused(reads, asked.unknown)


ENTRY = Entry(
    name="opt_out",
    summary="pairs whose pages do not opt out of the use for AI",
    source="W3C TDM Reservation Protocol (TDMRep); X-Robots-Tag and meta robots: noai, noimageai, noindex, noimageindex",
    parameters=Parameters,
    build=_build,
)
