"""What subsets have in common: sorted uids in, counts of pairs out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from filters.uids.uid_lookup import UidTable
from schemas.subsets import sort_rows


class Members:
    """Answers which uids stand in a sorted (m,) `u8,u8` subset; 8 bytes of memory per uid beside it."""

    def __init__(self, subset: np.ndarray) -> None:
        self._table = UidTable(subset)

    def among(self, uids: np.ndarray) -> np.ndarray:
        """(n,) bool: which of n uids, (n,) `u8,u8`, stand in it."""
        return self._table.places(uids) >= 0


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """A subset's rows, and its distinct uids, each once, sorted, with how often each stands there."""

    name: str
    rows: int
    distinct: np.ndarray  # (m,) u8,u8
    most_repeats: int

    @classmethod
    def of(cls, name: str, uids: np.ndarray) -> "Sizes":
        """Of (n,) `u8,u8` uids in any order."""
        ordered = sort_rows(uids)
        starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])[: len(ordered)])
        repeats = np.diff(np.append(starts, len(ordered)))
        return cls(name=name, rows=len(uids), distinct=ordered[starts], most_repeats=int(repeats.max(initial=0)))


def overlaps(subsets: Sequence[Sizes]) -> np.ndarray:
    """(k, k) int64: the distinct uids that two of k subsets share; on the diagonal, those of each."""
    shared = np.zeros((len(subsets), len(subsets)), np.int64)
    for i, one in enumerate(subsets):
        shared[i, i] = len(one.distinct)
        members = Members(one.distinct)
        for j in range(i):
            shared[i, j] = shared[j, i] = np.count_nonzero(members.among(subsets[j].distinct))
    return shared


def comparison(subsets: Sequence[Sizes]) -> dict[str, Any]:
    """The sizes, and of every two subsets what they share, as JSON values."""
    shared = overlaps(subsets)
    pairs = []
    for i, one in enumerate(subsets):
        for j, other in enumerate(subsets[i + 1 :], i + 1):
            both, union = int(shared[i, j]), int(shared[i, i] + shared[j, j] - shared[i, j])
            row = {
                "a": one.name,
                "b": other.name,
                "both": both,
                "only_a": int(shared[i, i]) - both,
                "only_b": int(shared[j, j]) - both,
            }
            pairs.append({**row, "union": union, "jaccard": both / union if union else 1.0})
    told = [
        {"name": one.name, "rows": one.rows, "distinct": len(one.distinct), "most_repeats": one.most_repeats} for one in subsets
    ]
    return {"subsets": told, "pairs": pairs}
