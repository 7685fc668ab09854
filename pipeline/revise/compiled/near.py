"""Which perceptual hashes are near a listed one: a look into one part's table (Norouzi, Punjani and Fleet 2012)."""

# What numba compiles is typed by numba.

import numpy as np

from filters.compiling import entry
from pipeline.dedup.compiled.simd import ones


@entry
def mark_near(hashes, found, shift, width, flips, starts, values, bits):
    """Set found (n,) bool where a hash, (n,) uint64, is within `bits` of one that is near it in this part.

    Part: `width` bits from `shift` on; the listed hashes with part v stand at values[starts[v]] … values[starts[v + 1] - 1].
    flips: the variations of the part that are looked at, (v,) int64. Width 0 is a table of one bucket: all are compared.
    """
    mask, down = np.uint64((1 << width) - 1), np.uint64(shift)
    for row in range(len(hashes)):
        if found[row]:
            continue
        mine = hashes[row]
        part = np.int64((mine >> down) & mask)
        for flip in flips:
            bucket = part ^ flip
            for other in range(starts[bucket], starts[bucket + 1]):
                if ones(mine ^ values[other]) <= bits:
                    found[row] = True
                    break
            if found[row]:
                break
