"""A sorted table of uids in which many uids are found at once."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class UidTable:
    """(m,) `u8,u8` uids or digests, sorted, without repeats.

    They are looked up by the high halves alone, kept apart: NumPy compares pairs several times slower, and is asked to only where
    the high halves of two are equal. 24 bytes per row.
    """

    rows: np.ndarray
    high: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "high", np.ascontiguousarray(self.rows["f0"]))

    def places(self, uids: np.ndarray) -> np.ndarray:
        """(n,) int64: where each of (n,) `u8,u8` uids stands in the table; -1 where it does not."""
        if not len(self.rows):
            return np.full(len(uids), -1)
        last = len(self.rows) - 1
        places = np.minimum(np.searchsorted(self.high, uids["f0"]), last)
        same_high = self.high[places] == uids["f0"]
        found = same_high & (self.rows["f1"][places] == uids["f1"])
        if (unsure := np.flatnonzero(same_high & ~found)).size:
            places[unsure] = np.minimum(np.searchsorted(self.rows, uids[unsure]), last)
            found[unsure] = self.rows[places[unsure]] == uids[unsure]
        return np.where(found, places, -1)
