"""The cosines of a row and the few rows kept for it."""

import numpy as np
from numba import njit

from filters.compiling import entry
from pipeline.dedup.compiled.pairs import NONE
from pipeline.dedup.compiled.simd import as_float


@entry
def best_of_kept(rows, norms, kept, first, last, floor, index, cosine):
    """Of the rows kept for each of rows first … last - 1 the one of highest cosine, then lowest number, into index and cosine.

    rows (n, d) uint16, the bits of float16; norms (n,) float32. A row left without one of at least `floor` is not written.
    """
    mine = np.empty(rows.shape[1], np.float32)
    for row in range(first, last):
        if kept[row, 0] == NONE:
            continue
        for k in range(len(mine)):
            mine[k] = as_float(rows[row, k])
        best, nearest = np.float32(-2), np.int64(-1)
        for place in range(kept.shape[1]):
            if kept[row, place] == NONE:
                break
            other = kept[row, place] & 0xFFFFFFFF
            found = min(_product(mine, rows[other]) / (norms[row] * norms[other]), np.float32(1))
            if found > best or (found == best and other < nearest):
                best, nearest = found, other
        if best >= floor:
            index[row], cosine[row] = nearest, best


@entry
def follow(rows, norms, kept, first, last, links, index, cosine):
    """For each of rows first … last - 1 that has a nearest row: whether the nearest of its kept rows is nearer still.

    links (n,) int64: `index` as it was before. One step of NN-descent (Dong et al. 2011), along one edge of each neighbour.
    """
    mine = np.empty(rows.shape[1], np.float32)
    tried = np.empty(kept.shape[1] + 1, np.int64)
    for row in range(first, last):
        if index[row] < 0:
            continue
        count = _linked(kept[row], links, index[row], tried)
        if count:
            for k in range(len(mine)):
                mine[k] = as_float(rows[row, k])
        best, nearest = cosine[row], index[row]
        for place in range(count):
            other = tried[place]
            found = min(_product(mine, rows[other]) / (norms[row] * norms[other]), np.float32(1))
            if found > best or (found == best and other < nearest):
                best, nearest = found, other
        index[row], cosine[row] = nearest, best


@njit
def _linked(kept, links, nearest, tried):
    """The rows that the kept rows and the nearest one link to, each once, without those that are kept themselves: how many."""
    count = 0
    for place in range(len(kept) + 1):
        if place < len(kept) and kept[place] == NONE:
            continue
        other = links[nearest if place == len(kept) else kept[place] & 0xFFFFFFFF]
        known = other < 0 or other == nearest
        for k in range(len(kept)):
            known = known or (kept[k] != NONE and kept[k] & 0xFFFFFFFF == other)
        for k in range(count):
            known = known or tried[k] == other
        if not known:
            tried[count] = other
            count += 1
    return count


@njit(fastmath={"reassoc", "contract", "nsz"})
def _product(mine, other):
    total = np.float32(0)
    for k in range(len(mine)):
        total += mine[k] * as_float(other[k])
    return total
