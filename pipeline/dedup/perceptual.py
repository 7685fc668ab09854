"""Images that look alike: rows whose 64-bit perceptual hashes differ in a few bits. All pairs are found, none by chance.

Equal hashes are brought together first, so that an image found a million times (a blank one, a logo) is searched for once.
Distinct ones are searched by multi-index hashing (Norouzi, Punjani and Fleet 2012): cut into p parts, two hashes within r bits
agree in one of them to r / p bits; so each part is looked up in a table of that part, with all its variations of so few bits.
"""

from functools import partial
from itertools import combinations
from math import comb

import numpy as np

from pipeline.dedup.found import Found
from pipeline.dedup.pool import Pool
from pipeline.dedup.sketches import in_threads
from pipeline.dedup.sorting import heads_of_runs
from pipeline.metadata.files import MetadataFile
from pipeline.metadata.hashes import hash_words
from pipeline.metadata.read import read_batches

_DIGITS, _BITS = 16, 64
_LOOK_UP = 3  # what a look-up in a table costs, in comparisons
_MOST_TABLE_BITS = 24
_ROWS_AT_ONCE = 16_384


def alike(pool: Pool, column: str, *, bits: int, threads: int) -> tuple[Found, np.ndarray]:
    """For each row the earlier row of nearest hash within `bits`, of equally near the first; and (n,) bool: which have a hash."""
    hashes, hashed = np.zeros(len(pool), np.uint64), np.zeros(len(pool), bool)

    def take(file: MetadataFile, ranks: np.ndarray) -> None:
        at, found = 0, []
        for batch in read_batches(file, [column]):
            fits, words = hash_words(batch[column], _DIGITS)
            found.append((ranks[at : at + len(fits)][fits], words[:, 0]))
            at += len(fits)
        for some, words in found:
            hashes[some], hashed[some] = words, True

    pool.per_file(take)
    ranks = np.flatnonzero(hashed)
    index, distance = nearest_hashes(hashes[ranks], bits=bits, threads=threads)
    found = Found.nothing(len(pool), np.int32)
    some = index >= 0
    found.index[ranks[some]], found.value[ranks[some]] = ranks[index[some]], distance[some]  # type: ignore[index]
    return found, hashed


def nearest_hashes(hashes: np.ndarray, *, bits: int, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """For each of hashes (n,) uint64 the nearest before it within `bits`, then first: index (n,) int64, distance (n,) int32.

    -1 and 0 where there is none. The same for any number of threads.
    """
    order = np.argsort(hashes, kind="stable")
    same = np.zeros(len(hashes), bool)
    same[1:] = hashes[order[1:]] == hashes[order[:-1]]
    index, distance = np.full(len(hashes), -1, np.int64), np.zeros(len(hashes), np.int32)
    index[order[same]] = order[heads_of_runs(same)[same]]
    firsts = np.sort(order[~same])
    if bits and len(firsts) > 1:
        nearest, apart = _nearest_distinct(hashes[firsts], bits, threads)
        index[firsts] = np.where(nearest >= 0, firsts[nearest], -1)
        distance[firsts] = np.where(nearest >= 0, apart, 0)
    return index, distance


def _nearest_distinct(hashes: np.ndarray, bits: int, threads: int) -> tuple[np.ndarray, np.ndarray]:
    from pipeline.dedup.compiled.hamming import fill_table

    parts = cheapest_cut(len(hashes), bits)
    widths, radii = part_widths(parts), part_radii(parts, bits)
    members, values = np.empty(len(hashes), np.int32), np.empty(len(hashes), np.uint64)
    nearest, apart = np.full(len(hashes), -1, np.int64), np.full(len(hashes), bits + 1, np.int32)
    for part in range(parts):
        starts, flips = np.zeros((1 << widths[part]) + 1, np.int64), _flips(widths[part], radii[part])
        fill_table(hashes, sum(widths[:part]), widths[part], starts, members, values)
        look = partial(_look, (flips, starts, members, values, nearest, apart))
        in_threads(look, range(0, len(hashes), _ROWS_AT_ONCE), threads)
    return nearest, apart


def _look(arrays: tuple[np.ndarray, ...], first: int) -> None:
    from pipeline.dedup.compiled.hamming import search

    search(first, min(first + _ROWS_AT_ONCE, len(arrays[2])), *arrays)


def cheapest_cut(n: int, bits: int) -> int:
    """Into how many parts 64 bits are best cut, to search n hashes for those within `bits`."""

    def cost(parts: int) -> float:
        looks = [(width, _variations(width, r)) for width, r in zip(part_widths(parts), part_radii(parts, bits), strict=True)]
        return sum((count * (_LOOK_UP + n / 2**width) + 2**width / n for width, count in looks), 0.0)

    least = -(-_BITS // _MOST_TABLE_BITS)
    return min(range(least, min(_BITS, max(least, bits + 1)) + 1), key=cost)


def part_widths(parts: int) -> list[int]:
    """Bits of each part: 64 in all, as even as may be."""
    return [_BITS // parts + (part < _BITS % parts) for part in range(parts)]


def part_radii(parts: int, bits: int) -> list[int]:
    """Bits by which each part may differ: two hashes within `bits` are within these in one part at least; -1: not looked at.

    Were they not, they would differ by the sum of (radius + 1) at least, and that is bits + 1.
    """
    return [(bits + 1) // parts + (part < (bits + 1) % parts) - 1 for part in range(parts)]


def _variations(width: int, radius: int) -> int:
    return sum(comb(width, flipped) for flipped in range(min(radius, width) + 1))


def _flips(width: int, radius: int) -> np.ndarray:
    """(v,) int64: every number of `width` bits of which at most `radius` are set."""
    chosen = (places for flipped in range(min(radius, width) + 1) for places in combinations(range(width), flipped))
    return np.array([sum(1 << place for place in places) for places in chosen], np.int64)


__all__ = ["alike", "nearest_hashes"]
