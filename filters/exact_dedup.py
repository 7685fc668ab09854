"""exact_dedup: keeps one pair of those whose images are the same bytes, by `webpairs dedup`'s column or by sha256 itself."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filters.contract import Filter, Pool
from filters.needed import FROM_DEDUP
from filters.registry import Context, Entry, NoParameters
from filters.uids.uid_lookup import UidTable
from schemas.errors import UserError
from schemas.subsets import SUBSET_DTYPE, uid_rows

_SHA256 = "^[0-9a-fA-F]{64}$"
_HALF_DIGITS = 32
_NAME = "exact_dedup"


@dataclass(frozen=True)
class MarkedExactDedup:
    """Keeps rows that `webpairs dedup` found to be no copy: `exact_dup_of` is null."""

    name: ClassVar[str] = _NAME
    reads: ClassVar[tuple[str, ...]] = ("exact_dup_of",)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the row is no copy."""
        return batch["exact_dup_of"].is_null()


@dataclass(frozen=True)
class FirstOfBytes:
    """Drops rows whose sha256 belongs to several uids and whose uid is not the smallest of them. Keeps rows without a sha256.

    What is not 64 hex digits is none.
    """

    groups: int  # of several uids with one sha256
    digests: UidTable = field(repr=False, compare=False)  # (groups,): the first 16 bytes of each sha256
    smallest: np.ndarray = field(repr=False, compare=False)  # (groups,) u8,u8: the smallest uid of each
    name: ClassVar[str] = _NAME
    reads: ClassVar[tuple[str, ...]] = ("uid", "sha256")

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the row is the first of its bytes."""
        places, digests = _digests(batch)
        uids = uid_rows(batch["uid"])[places]
        groups = self.digests.places(digests)
        known = groups >= 0
        kept = np.ones(batch.num_rows, bool)
        kept[places[known]] = uids[known] == self.smallest[groups[known]]
        return pa.array(kept)


@dataclass(frozen=True)
class ExactDedup:
    """Of the rows with one sha256, keeps those of the smallest uid, however the files are cut or ordered.

    The sha256 is that of the bytes as served (FIPS 180-4); 128 of its bits are compared.
    """

    name: ClassVar[str] = _NAME
    reads: ClassVar[tuple[str, ...]] = ("uid", "sha256")

    def resolve(self, pool: Pool) -> Filter:
        """The digests that several uids share, in one pass; 32 bytes of memory per row, twice that while they are sorted."""
        digests, uids = [np.empty(0, SUBSET_DTYPE)], [np.empty(0, SUBSET_DTYPE)]
        for batch in pool(self.reads):
            places, found = _digests(batch)
            digests.append(found)
            uids.append(uid_rows(batch["uid"])[places])
        return _first_of_bytes(np.concatenate(digests), np.concatenate(uids))


def _first_of_bytes(digests: np.ndarray, uids: np.ndarray) -> FirstOfBytes:
    order = np.lexsort((uids["f1"], uids["f0"], digests["f1"], digests["f0"]))
    digests, uids = digests[order], uids[order]
    begins = np.flatnonzero(np.concatenate([np.ones(min(1, len(digests)), bool), digests[1:] != digests[:-1]]))
    ends = np.append(begins[1:], len(digests))[: len(begins)]
    shared = uids[begins] != uids[ends - 1]  # a uid that stands there twice is no copy of another
    begins = begins[shared]
    return FirstOfBytes(len(begins), UidTable(digests[begins]), uids[begins])


def _digests(batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray]:
    """The places of the rows that have a sha256, (m,) int64, and its first 16 bytes, (m,) `u8,u8`."""
    column = batch["sha256"].cast(pa.string())
    is_digest = pc.fill_null(pc.match_substring_regex(column, _SHA256), False)
    digests = column.filter(is_digest)
    places: np.ndarray = np.flatnonzero(is_digest.to_numpy(zero_copy_only=False))
    return places, uid_rows(pc.utf8_slice_codeunits(digests, 0, _HALF_DIGITS))


def _build(_: NoParameters, context: Context) -> MarkedExactDedup | ExactDedup:
    if "exact_dup_of" in context.columns:
        return MarkedExactDedup()
    if "sha256" not in context.columns:
        raise UserError(f"exact_dedup: the metadata has neither exact_dup_of nor sha256; {FROM_DEDUP}")
    return ExactDedup()


ENTRY = Entry(
    name=_NAME,
    summary="one pair of each group of images with the same bytes",
    source="FIPS 180-4 (SHA-256); Gadre et al. 2023, DataComp (its metadata's sha256)",
    parameters=NoParameters,
    build=_build,
)
