"""Within each bucket every row against the earlier ones: the few with the nearest sketches are kept per row."""

import numpy as np
from numba import njit

from filters.compiling import entry
from pipeline.dedup.compiled.simd import lowest_bit, near_of_16, ones

NONE = np.int64(1 << 40)  # an empty place among the kept: farther than any sketch
_ALIKE = 2  # bits: rows this near are taken for the same image, one kept as good as another
_CROWD = 256  # earlier rows in one bucket from which on they are counted
_ENOUGH = 1 << 14  # earlier rows looked at, after which a row looks no further if those kept are nearer than most at the floor:
# which differ in about as many of all bits as nearly none exceed in half of them, and this asks for three quarters of that


@entry
def bucket_order(keys, usable, order, ends):
    """Fills order (n,) uint32: the usable rows by key, then number; and ends (keys,) int64: where each key's rows end in it."""
    ends[:] = 0
    for row in range(len(keys)):
        if usable[row]:
            ends[keys[row]] += 1
    total = 0
    for key in range(len(ends)):
        count = ends[key]
        ends[key] = total
        total += count
    for row in range(len(keys)):
        if usable[row]:
            order[ends[keys[row]]] = row
            ends[keys[row]] += 1
    return total


@entry
def compare(order, ends, first, last, sketches, limits, looked_at, kept):
    """The buckets first … last - 1: rows order[ends[b - 1]:ends[b]], ascending, each against those before it.

    sketches (n, 4) uint64; limits (n, 2) int16: the most bits by which a row may differ from an earlier one, of 256 (shrinks as
    places fill, to -1 for a row that looks no further) and of the first 128; looked_at (n,) int64: earlier rows so far, counted
    in crowds only; kept (n, k) int64: distance << 32 | row, ascending. A row is written by the thread that has its bucket only.
    """
    size = 0
    for bucket in range(first, last):
        size = max(size, ends[bucket] - (ends[bucket - 1] if bucket else 0))
    firsts, seconds = np.zeros(size + 15, np.uint64), np.zeros(size + 15, np.uint64)
    others, bounds = np.empty((size, 2), np.uint64), np.empty((size, 2), np.int16)
    for bucket in range(first, last):
        start = ends[bucket - 1] if bucket else 0
        rows = order[start : ends[bucket]]
        for place in range(len(rows)):  # apart from what is done with them: the memory then answers several at once
            row = rows[place]
            firsts[place], seconds[place] = sketches[row, 0], sketches[row, 1]
            others[place, 0], others[place, 1] = sketches[row, 2], sketches[row, 3]
            bounds[place, 0], bounds[place, 1] = limits[row, 0], limits[row, 1]
        _search(rows, firsts, seconds, others, bounds, limits, looked_at, kept)


@njit
def _search(rows, firsts, seconds, others, bounds, limits, looked_at, kept):
    """One bucket; a call for each of its rows would cost as much as the row."""
    for place in range(1, len(rows)):
        limit, limit_128 = np.int64(bounds[place, 0]), np.uint64(bounds[place, 1])
        if limit < 0:
            continue
        one, two, three, four = firsts[place], seconds[place], others[place, 0], others[place, 1]
        before = limit
        for block in range(0, place, 16):
            near_128 = near_of_16(firsts, seconds, block, one, two, limit_128)
            if place - block < 16:
                near_128 &= (np.uint64(1) << np.uint64(place - block)) - np.uint64(1)
            while near_128:
                earlier = block + lowest_bit(near_128)
                near_128 &= near_128 - np.uint64(1)
                near = ones(one ^ firsts[earlier]) + ones(two ^ seconds[earlier])
                near += ones(three ^ others[earlier, 0]) + ones(four ^ others[earlier, 1])
                if near <= limit:
                    limit = min(limit, _keep(kept[rows[place]], near << 32 | np.int64(rows[earlier])))
            if limit < 0:
                break
        if place >= _CROWD and limit >= 0:
            looked_at[rows[place]] += place
            if looked_at[rows[place]] >= _ENOUGH and kept[rows[place], -1] >> 32 <= bounds[place, 1] * 3 // 4:
                limit = -1
        if limit != before:
            limits[rows[place], 0] = limit


@njit
def _keep(kept, found):
    """Puts a pair among the kept, in order, unless it is there. Returns the most bits that can still matter; -1: none can."""
    place = len(kept)
    while place and kept[place - 1] > found:
        place -= 1
    if place == len(kept) or (place and kept[place - 1] == found):
        return kept[-1] >> 32
    for k in range(len(kept) - 1, place, -1):
        kept[k] = kept[k - 1]
    kept[place] = found
    return kept[-1] >> 32 if kept[-1] >> 32 > _ALIKE else -1
