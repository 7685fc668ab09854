"""Which images look like listed ones: 64-bit perceptual hashes within some bits of any on a list. All are found, none by chance.

By multi-index hashing (Norouzi, Punjani and Fleet 2012), as in dedup; where there are so few listed, or so many bits, that
comparing every hash with each costs less, by that.
"""

from itertools import combinations
from math import comb

import numpy as np

from pipeline.dedup.perceptual import part_radii, part_widths

MOST_BITS = 16  # farther apart, unrelated images are "near" in numbers
_LOOK_UP = 3  # what a look-up in a table costs, in comparisons
_PARTS = range(3, 17)  # fewer would need tables of more than 2^22 entries


def near_listed(hashes: np.ndarray, listed: np.ndarray, bits: int) -> np.ndarray:
    """(n,) bool: which of hashes (n,) uint64 differ from one of listed (m,) uint64 in at most `bits` bits."""
    if not len(hashes) or not len(listed):
        return np.zeros(len(hashes), bool)
    distinct, rows = np.unique(hashes, return_inverse=True)  # a blank image may be found a million times
    found = np.isin(distinct, listed)
    if bits:
        _mark(distinct, found, np.ascontiguousarray(listed), bits)
    return found[rows]


def _mark(hashes: np.ndarray, found: np.ndarray, listed: np.ndarray, bits: int) -> None:
    from pipeline.dedup.compiled.hamming import fill_table
    from pipeline.revise.compiled.near import mark_near

    parts = _cheapest_cut(len(listed), bits)
    if not parts:
        mark_near(hashes, found, 0, 0, np.zeros(1, np.int64), np.array([0, len(listed)]), listed, bits)
        return
    shift, members, values = 0, np.empty(len(listed), np.int32), np.empty(len(listed), np.uint64)
    for width, radius in zip(part_widths(parts), part_radii(parts, bits), strict=True):
        starts = np.zeros((1 << width) + 1, np.int64)
        fill_table(listed, shift, width, starts, members, values)
        mark_near(hashes, found, shift, width, _flips(width, radius), starts, values, bits)
        shift += width


def _cheapest_cut(listed: int, bits: int) -> int:
    """Into how many parts 64 bits are best cut; 0: each hash is best compared with all that are listed."""

    def cost(parts: int) -> float:
        cut = zip(part_widths(parts), part_radii(parts, bits), strict=True)
        return sum(
            (sum(comb(width, n) for n in range(radius + 1)) * (_LOOK_UP + listed / 2**width) for width, radius in cut), 0.0
        )

    best = min(_PARTS, key=cost)
    return best if cost(best) < listed else 0


def _flips(width: int, radius: int) -> np.ndarray:
    """(v,) int64: every number of `width` bits of which at most `radius` are set; none for a radius of -1."""
    chosen = (places for count in range(radius + 1) for places in combinations(range(width), count))
    return np.array([sum(1 << place for place in places) for places in chosen], np.int64)
