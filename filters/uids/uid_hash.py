"""Random numbers that belong to uids: the same for a row however the files are cut, ordered or read."""

import numpy as np
import pyarrow as pa

from schemas.subsets import uid_rows

_RANGE = 2**64


def uid_hashes(batch: pa.RecordBatch, *seeds: int) -> np.ndarray:
    """(n,) uint64, one per row of the batch, from its uid and the seeds. Raises ValueError for a uid that is none."""
    return hashes_of(uid_rows(batch["uid"]), *seeds)


def hashes_of(rows: np.ndarray, *seeds: int) -> np.ndarray:
    """(n,) uint64 of (n,) `u8,u8` uids."""
    with np.errstate(over="ignore"):
        return mixed(rows["f0"] ^ mixed(rows["f1"] ^ key_of(*seeds)))


def key_of(*seeds: int) -> np.ndarray:
    """(1,) uint64 of some seeds, in order."""
    key = np.zeros(1, np.uint64)
    for seed in seeds:
        key = mixed(key ^ np.uint64(seed % _RANGE))
    return key


def mixed(values: np.ndarray) -> np.ndarray:
    """SplitMix64's step (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators") of (n,) uint64."""
    with np.errstate(over="ignore"):
        z = values + np.uint64(0x9E3779B97F4A7C15)
        z ^= z >> np.uint64(30)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= z >> np.uint64(27)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return z
