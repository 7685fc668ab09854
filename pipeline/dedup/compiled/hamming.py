"""Multi-index hashing: tables of a part of each hash, and the search in them (Norouzi, Punjani and Fleet 2012)."""

import numpy as np

from filters.compiling import entry
from pipeline.dedup.compiled.simd import ones


@entry
def fill_table(hashes, shift, width, starts, members, values):
    """One part's table: starts (2^width + 1,) int64; the hashes with part v stand at starts[v] … starts[v + 1] - 1 of members
    (their numbers, int32, ascending) and values (themselves, uint64).
    """
    mask, down = np.uint64((1 << width) - 1), np.uint64(shift)
    for row in range(len(hashes)):
        starts[np.int64((hashes[row] >> down) & mask) + 1] += 1
    for part in range(1 << width):
        starts[part + 1] += starts[part]
    for row in range(len(hashes)):
        part = np.int64((hashes[row] >> down) & mask)
        members[starts[part]] = row
        values[starts[part]] = hashes[row]
        starts[part] += 1
    for part in range(1 << width, 0, -1):
        starts[part] = starts[part - 1]
    starts[0] = 0


@entry
def search(first, last, flips, starts, members, values, nearest, apart):
    """For the hashes at the places first … last - 1 of one part's table the nearest before each, among those near in that part.

    nearest (n,) int64 and apart (n,) int32 are what other parts have found: of equally near ones the first stays; where nothing
    is found, -1 and the first distance that is too far. flips: the variations of the part. Hashes that follow each other in a
    table have nearly the same part, so that their variations lie side by side, and in the cache.
    """
    part = np.searchsorted(starts, first, side="right") - 1
    for place in range(first, last):
        while starts[part + 1] <= place:
            part += 1
        row, mine = members[place], values[place]
        best, best_at = np.int64(apart[row]), nearest[row]
        for flip in flips:
            bucket = part ^ flip
            for other in range(starts[bucket], starts[bucket + 1]):
                distance = ones(mine ^ values[other])
                if distance > best:  # nearly always, so that members are hardly read
                    continue
                if members[other] >= row:
                    break
                if distance == best and (best_at < 0 or members[other] >= best_at):
                    continue
                best, best_at = distance, np.int64(members[other])
                if best == 1:
                    break  # what follows here is no nearer, and later
        nearest[row], apart[row] = best_at, best
