"""Which samples a run sees, and in which order: a subset's index into the decoded pool, shuffled per epoch by the seed."""

from dataclasses import dataclass

import numpy as np

# Up to here the shuffled index of an epoch is held whole: 32 MB, made in half a second. Beyond, each position is computed alone.
MOST_HELD = 2**22
_ROUNDS = 8


def index_of(wanted: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """Row in `pool` of each uid in `wanted` that is there: (m,) int64, m ≤ len(wanted), in the order of `wanted`.

    Both are `u8,u8`. A uid that stands in the pool twice means its first row.
    """
    if len(pool) == 0 or len(wanted) == 0:
        return np.empty(0, np.int64)
    keys, sought = _sortable(pool), _sortable(wanted)
    order = np.argsort(keys, kind="stable")
    at = np.minimum(np.searchsorted(keys, sought, sorter=order), len(keys) - 1)
    rows: np.ndarray = order[at].astype(np.int64)
    found: np.ndarray = rows[keys[rows] == sought]
    return found


def _sortable(uids: np.ndarray) -> np.ndarray:
    """(n,) 16-byte strings, big endian, which NumPy sorts and searches at speed, unlike pairs of integers."""
    halves = np.empty((len(uids), 2), dtype=">u8")
    halves[:, 0], halves[:, 1] = uids["f0"], uids["f1"]
    keys: np.ndarray = halves.view("S16")[:, 0]
    return keys


@dataclass
class Order:
    """An endless order over `index`: epoch after epoch, each shuffled by (seed, epoch), so that any position can be resumed.

    A row that stands in `index` k times is shown k times an epoch. Raises ValueError where `index` is empty.
    """

    index: np.ndarray  # (n,) int64, rows of the decoded pool
    seed: int

    def __post_init__(self) -> None:
        if not len(self.index):
            raise ValueError("an order over no rows")
        self._held: tuple[int, np.ndarray] = (-1, self.index)  # an epoch and its shuffled index

    def batch(self, start: int, size: int) -> np.ndarray:
        """The rows at positions start … start + size: (size,) int64."""
        pieces = [np.empty(0, np.int64)]
        while size > 0:
            epoch, offset = divmod(start, len(self.index))
            piece = self._piece(epoch, offset, min(size, len(self.index) - offset))
            pieces.append(piece)
            start, size = start + len(piece), size - len(piece)
        return np.concatenate(pieces)

    def _piece(self, epoch: int, offset: int, size: int) -> np.ndarray:
        if len(self.index) > MOST_HELD:
            rows: np.ndarray = self.index[permuted(np.arange(offset, offset + size), len(self.index), (self.seed, epoch))]
            return rows
        held, shuffled = self._held
        if epoch != held:
            shuffled = np.random.Generator(np.random.PCG64([self.seed, epoch])).permutation(self.index)
            self._held = (epoch, shuffled)
        return shuffled[offset : offset + size]


def permuted(positions: np.ndarray, n: int, key: tuple[int, ...]) -> np.ndarray:
    """Where a permutation of 0 … n-1, chosen by `key`, puts each position: (m,) int64, without the permutation being held.

    A Feistel network over the least even number of bits that n fits in; what falls beyond n goes through it again until it does
    not (cycle walking). Source: Black & Rogaway 2002, "Ciphers with arbitrary finite domains".
    """
    half = np.uint64(max(1, -(-int(n - 1).bit_length() // 2)))
    mask = (np.uint64(1) << half) - np.uint64(1)
    values = positions.astype(np.uint64)
    pending = np.arange(len(values))
    round_keys = np.random.SeedSequence(key).generate_state(_ROUNDS, np.uint64)
    while len(pending):
        left, right = values[pending] >> half, values[pending] & mask
        for round_key in round_keys:
            left, right = right, left ^ (mixed(right ^ round_key) & mask)
        values[pending] = (left << half) | right
        pending = pending[values[pending] >= n]
    return values.astype(np.int64)


def mixed(values: np.ndarray) -> np.ndarray:
    """uint64 → uint64, one to one, every bit hanging on every bit. Source: the finalizer of SplitMix64 (Steele et al. 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    out: np.ndarray = values ^ (values >> np.uint64(31))
    return out
