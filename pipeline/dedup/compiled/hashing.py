"""Rows to sketches and hash keys: centred, turned by fast pseudo-random rotations, 8 rows at a time."""

import numpy as np
from numba import njit

from filters.compiling import entry
from pipeline.dedup.compiled.simd import LANES, butterfly, largest_of_64, load_eight, signs_of_32

WIDTH = 512  # coordinates that a rotation works on
GROUP = 64  # coordinates of which a hash looks for the largest
KEYS_PER_ROTATION = WIDTH // GROUP // 2
KEY_BITS = 14  # two hashes of 7 bits: which of 64, and its sign
_BLOCK = 8 * LANES


@entry
def hash_rows(rows, start, mean, signs, flips, sketches, keys, norms, radii):
    """Fills sketches (n, 8) uint32, keys (t, n) uint16, norms (n,) and radii (n,) float32 (of row / norm - mean, squared).

    rows (m, d) uint16, the bits of float16, are rows start … start + m - 1 of the n; m and d multiples of 8. mean (8 d,): each
    value 8 times. signs (8 c d,): ±1 for c copies of the row, each 8 times, and flips (rotations, 8 WIDTH) the same for the
    rotations. A row whose norm is 0 or not finite gets norm 0.
    """
    m, d = rows.shape
    flat = rows.reshape(-1)
    raw = np.empty(d * LANES, np.float32)
    turned = np.empty(WIDTH * LANES, np.float32)
    lanes = np.empty(LANES, np.int32)
    spread = np.empty(_BLOCK, np.float32)
    for first in range(0, m, LANES):
        for column in range(0, d, 8):
            load_eight(flat, first * d + column, d, raw, column * LANES)
        to = start + first
        _norms(raw, spread, norms, to)
        _centre(raw, spread, mean, radii, to)
        _fold(raw, signs, turned)
        for rotation in range(flips.shape[0]):
            if rotation:
                _flip(turned, flips[rotation])
            _rotate(turned)
            if rotation == 0:
                _sketch(turned, lanes, sketches, to)
            if KEYS_PER_ROTATION * rotation < len(keys):
                _hash(turned, lanes, keys, KEYS_PER_ROTATION * rotation, to)


@njit
def _norms(raw, spread, norms, first):
    """The norms of 8 rows, and what to multiply them by, repeated: 0 for rows that no cosine can be told of."""
    blocks, squares = raw.reshape(-1, _BLOCK), np.zeros(_BLOCK, np.float32)
    for block in range(len(blocks)):
        for k in range(_BLOCK):
            squares[k] += blocks[block, k] * blocks[block, k]
    for lane in range(LANES):
        total = np.float32(0)
        for k in range(lane, _BLOCK, LANES):
            total += squares[k]
        usable = total > 0 and total < np.inf
        norms[first + lane] = np.sqrt(total) if usable else np.float32(0)
        for k in range(lane, _BLOCK, LANES):
            spread[k] = np.float32(1) / norms[first + lane] if usable else np.float32(0)


@njit
def _centre(raw, spread, mean, radii, first):
    blocks, means, squares = raw.reshape(-1, _BLOCK), mean.reshape(-1, _BLOCK), np.zeros(_BLOCK, np.float32)
    for block in range(len(blocks)):
        for k in range(_BLOCK):
            value = blocks[block, k] * spread[k] - means[block, k]
            blocks[block, k] = value
            squares[k] += value * value
    for lane in range(LANES):
        total = np.float32(0)
        for k in range(lane, _BLOCK, LANES):
            total += squares[k]
        radii[first + lane] = total if total < np.inf else np.float32(1)


@njit
def _fold(raw, signs, turned):
    """The copies of 8 rows laid around WIDTH coordinates, each with signs of its own."""
    turned[:] = 0
    at, size = 0, len(raw)
    for start in range(0, len(signs), size):
        done = 0
        while done < size:
            length = min(size - done, len(turned) - at)
            to, piece, sign = turned[at : at + length], raw[done : done + length], signs[start + done : start + done + length]
            for k in range(length):
                to[k] += piece[k] * sign[k]
            done += length
            at = (at + length) % len(turned)


@njit
def _flip(turned, signs):
    for k in range(WIDTH * LANES):
        turned[k] *= signs[k]


@njit
def _rotate(turned):
    """The Walsh-Hadamard transform (not scaled) of each lane: 512 = 8 · 8 · 8."""
    for step in (1, 8, 64):
        for outer in range(0, WIDTH, 8 * step):
            for inner in range(outer, outer + step):
                butterfly(turned, inner * LANES, step * LANES)


@njit
def _sketch(turned, lanes, sketches, first):
    for word in range(8):
        signs_of_32(turned, word * 32 * LANES, lanes)
        for lane in range(LANES):
            sketches[first + lane, word] = np.uint32(lanes[lane])


@njit
def _hash(turned, lanes, keys, key, first):
    for group in range(0, WIDTH // GROUP):
        largest_of_64(turned, group * GROUP * LANES, lanes)
        for lane in range(LANES):
            place = lanes[lane]
            code = 2 * place + (turned[(group * GROUP + place) * LANES + lane] < 0)
            if group % 2 == 0:
                keys[key + group // 2, first + lane] = np.uint16(code)
            else:
                keys[key + group // 2, first + lane] |= np.uint16(code << 7)
