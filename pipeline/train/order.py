"""Which samples a run sees, and in which order: a subset's index into the decoded pool, shuffled per epoch by the seed."""

from dataclasses import dataclass

import numpy as np


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
    """An endless order over `index`: epoch after epoch, each shuffled by (seed, epoch), so that any position can be resumed."""

    index: np.ndarray  # (n,) int64, rows of the decoded pool
    seed: int

    def __post_init__(self) -> None:
        self._epoch = -1
        self._shuffled = self.index

    def batch(self, start: int, size: int) -> np.ndarray:
        """The rows at positions start … start + size: (size,) int64."""
        pieces = []
        while size:
            epoch, offset = divmod(start, len(self.index))
            piece = self._of_epoch(epoch)[offset : offset + size]
            pieces.append(piece)
            start, size = start + len(piece), size - len(piece)
        return np.concatenate(pieces)

    def _of_epoch(self, epoch: int) -> np.ndarray:
        if epoch != self._epoch:
            rng = np.random.Generator(np.random.PCG64([self.seed, epoch]))
            self._epoch, self._shuffled = epoch, rng.permutation(self.index)
        return self._shuffled
