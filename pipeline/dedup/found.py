"""What a search gives for the rows of a pool: the earlier row of each, and how near it is."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Found:
    """index (n,) int32: by rank, the rank of the earlier row, -1 where there is none. value (n,): how near (cosine or bits)."""

    index: np.ndarray
    value: np.ndarray | None = None

    @classmethod
    def nothing(cls, n: int, value: np.dtype | type) -> "Found":
        """No row has an earlier one, yet."""
        return cls(np.full(n, -1, np.int32), np.zeros(n, value))

    def heads(self) -> np.ndarray:
        """(n,) bool: rows that others repeat and that repeat none themselves: one for each group."""
        heads = np.zeros(len(self.index), bool)
        heads[self.index[self.index >= 0]] = True
        heads &= self.index < 0
        return heads


def keep_nearest(found: Found, at: np.ndarray, other: np.ndarray, cosine: np.ndarray) -> None:
    """Merge, in place, that rows `at` (m,), each once, have earlier rows `other` at these cosines: higher wins, then earlier."""
    index, value = found.index, found.value
    assert value is not None  # noqa: S101 - for mypy
    better = (index[at] < 0) | (cosine > value[at]) | ((cosine == value[at]) & (other < index[at]))
    index[at[better]], value[at[better]] = other[better], cosine[better]


__all__ = ["Found", "keep_nearest"]
