"""Rows of embeddings in short: 256-bit sign sketches to compare by popcount, and hash keys that near rows are likely to share.

Both come from fast pseudo-random rotations (random signs, then a Walsh-Hadamard transform; Ailon and Chazelle 2009). A sketch
holds the signs of 256 coordinates: two rows at an angle a differ in 256 a / π of them on average (Charikar 2002). A hash is place
and sign of the largest of 64 coordinates (cross-polytope hashing; Andoni et al. 2015), a key is two hashes: at cosine .9 two rows
share a key of 14 bits with probability .22, where 14 signs would agree with .11.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

# Chance that two Gaussian vectors of 64 coordinates at a cosine have their largest at the same place with the same sign: measured
# on 2 · 10^5 pairs each.
_COSINES = (0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99, 0.995, 1)
_SHARED = (1 / 128, 0.042, 0.064, 0.097, 0.146, 0.210, 0.252, 0.308, 0.377, 0.465, 0.521, 0.598, 0.678, 0.730, 0.805, 0.860, 1)
_MISSED_BY_KEYS = 0.01  # of the pairs right at the floor; with a floor of .90, 70 times fewer of those at .95
_MISSED_BY_BITS = 0.002
_KEYS = (8, 64)  # at least, at most
_LEAST_COSINE = 0.75  # of two centred rows whose own cosine is the floor: below it keys say too little
_SAMPLE = 16_384  # rows that the mean is taken of
_CHUNK = 4096  # rows hashed in one call


@dataclass(frozen=True, kw_only=True)
class Hashed:
    """What is kept of n rows: sketches (n, 4) uint64; keys (t, n) uint16; norms and radii (n,) float32.

    A norm is 0 for a row without a direction (NaN, infinity, zeros); a radius is the squared length of row / norm - mean.
    """

    sketches: np.ndarray
    keys: np.ndarray
    norms: np.ndarray
    radii: np.ndarray


def sketch(rows: np.ndarray) -> np.ndarray:
    """(n, d) float16 → (n, 4) uint64: the signs of 256 rotated coordinates of each row. The rotation is always the same."""
    return hash_all(rows, np.zeros(rows.shape[1], np.float32), n_keys=0).sketches


def hash_all(rows: np.ndarray, mean: np.ndarray, *, n_keys: int, threads: int = 1) -> Hashed:
    """Sketches and `n_keys` keys (a multiple of 4) of row / norm - mean; rows (n, d) float16, mean (d,) float32."""
    from pipeline.dedup.compiled.hashing import KEYS_PER_ROTATION, hash_rows
    from pipeline.dedup.compiled.simd import LANES

    n, d = rows.shape
    padded = -(-n // 8) * 8
    signs, flips = _rotations(d, max(1, n_keys // KEYS_PER_ROTATION))
    sketches, keys = np.empty((padded, 8), np.uint32), np.empty((n_keys, padded), np.uint16)
    norms, radii = np.empty(padded, np.float32), np.empty(padded, np.float32)
    means = np.repeat(np.pad(mean, (0, -d % 8)), LANES)

    def chunk(start: int) -> None:
        part = np.ascontiguousarray(rows[start : start + _CHUNK])
        if len(part) % 8 or d % 8:
            part = np.pad(part, ((0, -len(part) % 8), (0, -d % 8)))
        elif not part.flags.writeable:
            part = part.copy()  # rows of a mapped file would be another type to numba, and all compiled again
        hash_rows(part.view(np.uint16), start, means, signs, flips, sketches, keys, norms, radii)

    in_threads(chunk, range(0, n, _CHUNK), threads)
    return Hashed(sketches=sketches.view(np.uint64)[:n], keys=keys[:, :n], norms=norms[:n], radii=radii[:n])


@cache
def _rotations(d: int, rotations: int) -> tuple[np.ndarray, np.ndarray]:
    """±1 by which coordinates are multiplied, each as often as there are lanes: of the copies of a row, then of each rotation.

    A row shorter than the 512 coordinates of a rotation is laid around them as often as fills them twice, each time with other
    signs: the 512 are then as many different directions as for a longer one.
    """
    from pipeline.dedup.compiled.hashing import WIDTH
    from pipeline.dedup.compiled.simd import LANES

    padded = -(-d // 8) * 8
    copies = 1 if padded >= WIDTH else -(-2 * WIDTH // padded)
    rng = np.random.default_rng([d, 256])
    signs = np.repeat(rng.choice(np.array([-1, 1], np.float32), copies * padded), LANES)
    return signs, np.repeat(rng.choice(np.array([-1, 1], np.float32), (rotations, WIDTH)), LANES, axis=1)


def mean_to_subtract(rows: np.ndarray, floor: float) -> tuple[np.ndarray, float]:
    """A mean (d,) float32 to subtract, and the squared length that rows then have, of those that one row in 10 is shorter than.

    Embeddings of CLIP point into a cone: two unrelated images have a cosine near .5, because of a mean that they share (Liang et
    al. 2022). Without it they are at right angles, and seldom share a key. But rows near the mean keep little of their own (a
    viral image may be the mean), so it is scaled down until 199 of 200 sampled rows are long enough for `_LEAST_COSINE`.
    """
    sample = rows[:: max(1, len(rows) // _SAMPLE)].astype(np.float32)
    with np.errstate(all="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", sample, sample))
    usable = np.isfinite(norms) & (norms > 0)
    sample = sample[usable] / norms[usable, None]
    if not len(sample):
        return np.zeros(rows.shape[1], np.float32), 1.0
    mean = sample.mean(axis=0)
    along, square = sample @ mean, float(mean @ mean)
    for scale in np.linspace(1, 0, 11):
        radii = 1 - 2 * scale * along + scale**2 * square
        if np.quantile(radii, 0.005) >= 2 * (1 - floor) / (1 - _LEAST_COSINE**2):
            break
    return (scale * mean).astype(np.float32), float(np.quantile(radii, 0.1))


def keys_needed(floor: float, radius: float) -> int:
    """How many keys miss at most `_MISSED_BY_KEYS` of the pairs at cosine `floor`, of centred rows of that squared length."""
    cosine = max(0.0, 1 - (1 - floor) / max(radius, 1e-9))
    both = float(np.interp(cosine, _COSINES, _SHARED)) ** 2
    needed = np.log(_MISSED_BY_KEYS) / np.log1p(-min(both, 0.999))
    return int(np.clip(4 * np.ceil(needed / 4), *_KEYS))


def bits_apart(floor: float, radii: np.ndarray, *, bits: int) -> np.ndarray:
    """The most of `bits` signs by which a row and one at cosine `floor` differ: radii (n,), squared, centred → (n,) int16.

    |x - y|² = 2 (1 - floor) for unit rows, and centring moves both alike, so the angle between the centred rows is at most that
    of the tangent from 0 to the circle around x: cos² = 1 - 2 (1 - floor) / radius. The number of differing signs is binomial
    with p = angle / π (those of one rotation vary less); all but `_MISSED_BY_BITS` of such pairs differ in no more. For floor .90
    that is 55 of 256 bits and 18 of 64; a pair at .95 differs in more once in 10^7, or once in 80,000.
    """
    squares = np.clip(1 - 2 * (1 - floor) / np.maximum(radii, 1e-9), 0, 1)
    share = np.arccos(np.sqrt(squares)) / np.pi
    limits: np.ndarray = np.maximum(_limits(bits)[np.ceil(share * 512).astype(np.int64)], 2 * bits // 256)
    return limits


@cache
def _limits(bits: int) -> np.ndarray:
    """(257,) int16: of a binomial number of `bits`, for p = 0, 1/512, … 1/2, what it exceeds with `_MISSED_BY_BITS` at most."""
    from scipy.special import bdtr

    up_to = bdtr(np.arange(bits + 1.0)[:, None], bits, np.linspace(0, 0.5, 257)[None])
    return np.asarray((up_to < 1 - _MISSED_BY_BITS).sum(axis=0), np.int16)


def in_threads(work: Callable[[Any], None], parts: Iterator[Any] | range, threads: int) -> None:
    """`work` on each part, in this thread or in as many as are asked for; the first error is raised."""
    if threads <= 1:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, parts):
            pass
