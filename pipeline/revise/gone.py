"""The uids that went: a local file of sorted keys that all worker processes read, asked whether it has some uids.

As uids, where a revision is being made; as hashes of uids, as a ledger has them, where one that stands is followed or verified.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.removal.table import stand_among
from schemas.subsets import SUBSET_DTYPE, array_to_uids, sort_rows, uid_rows

_UID = "^[0-9A-Fa-f]{32}$"


@dataclass(frozen=True, kw_only=True)
class Gone:
    """Where the keys are, "" for none at all; `by`: what a key is made of."""

    path: str = ""
    by: Literal["uid", "sha256"] = "uid"

    @classmethod
    def written(cls, path: str, keys: np.ndarray, by: Literal["uid", "sha256"] = "uid") -> "Gone":
        """Keys, (n,) `u8,u8` in any order, put at the local file `path`."""
        np.save(path, sort_rows(keys))
        return cls(path=path, by=by)

    def has(self, uids: np.ndarray) -> np.ndarray:
        """(n,) bool: which of (n,) `u8,u8` uids went."""
        if not self.path or not len(uids):
            return np.zeros(len(uids), bool)
        keys = uids if self.by == "uid" else hashes_of_uids(uids)
        keys_there = _loaded(self.path)
        return np.asarray(stand_among(np.stack([keys["f0"], keys["f1"]], axis=1), keys_there["f0"], keys_there["f1"]), bool)

    def rows(self, column: pa.Array) -> np.ndarray:
        """(n,) bool: of which rows the uid in this column went. What is no uid went nowhere."""
        places, uids = uids_in(column)
        found = np.zeros(len(column), bool)
        found[places[self.has(uids)]] = True
        return found


def uids_in(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The places (m,) of the rows with a uid, and these, (m,) `u8,u8`."""
    texts = column.cast(pa.string())
    fits = pc.fill_null(pc.match_substring_regex(texts, _UID), False)
    return np.flatnonzero(fits.to_numpy(zero_copy_only=False)), uid_rows(texts.filter(fits))


def hashes_of_uids(uids: np.ndarray) -> np.ndarray:
    """(n,) `u8,u8`: the first 128 bits of sha256 of each uid's 32 hex digits."""
    return keys_of(hashlib.sha256(uid.encode()).digest()[:16] for uid in array_to_uids(uids))


def keys_of(digests: Iterable[bytes]) -> np.ndarray:
    """(n,) `u8,u8` of digests of 16 bytes."""
    return np.frombuffer(b"".join(digests), ">u8").astype("<u8").view(SUBSET_DTYPE)


@cache
def _loaded(path: str) -> dict[str, np.ndarray]:
    keys = np.load(path)
    return {half: np.ascontiguousarray(keys[half]) for half in ("f0", "f1")}
