"""Rows of a sorted table of uids, found for many uids at once."""

import numpy as np


def places_of(uids: np.ndarray, table: np.ndarray) -> np.ndarray:
    """(n,) int64: where each of (n,) `u8,u8` uids stands in a sorted (m,) `u8,u8` table without repeats; -1 where it does not.

    Looked up by the high halves alone: NumPy compares pairs of them several times slower, and is asked only where the high
    halves of two uids are equal.
    """
    if not len(table):
        return np.full(len(uids), -1)
    high = np.ascontiguousarray(table["f0"])
    places = np.minimum(np.searchsorted(high, uids["f0"]), len(table) - 1)
    near = table[places]
    same_high = near["f0"] == uids["f0"]
    found = same_high & (near["f1"] == uids["f1"])
    if (unsure := np.flatnonzero(same_high & ~found)).size:
        places[unsure] = np.minimum(np.searchsorted(table, uids[unsure]), len(table) - 1)
        found[unsure] = table[places[unsure]] == uids[unsure]
    return np.where(found, places, -1)
