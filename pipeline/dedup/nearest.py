"""For each row its nearest earlier row: within one array by hash keys and sketches, in a larger pool cluster by cluster."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from pipeline.dedup.centroids import nearest_centroids, train_centroids, training_sample
from pipeline.dedup.sketches import Hashed, bits_apart, hash_all, in_threads, keys_needed, mean_to_subtract

KEPT = 16  # rows kept for a row by their sketches, of which products find the nearest
_ALL_PAIRS = 4096  # rows up to which every pair of sketches is compared
_BUCKETS_AT_ONCE = 1 << 16  # rows, about, that one thread compares in one call
_CLUSTER_BYTES = 1 << 30
_ROWS_ON_A_GPU, _CLUSTER_ROWS_ON_A_GPU = 2_000_000, 100_000
_ROWS_PER_PRODUCT = 16_384
_STEPS = 3  # along links, at most
_EQUAL = 1 - 2e-6  # float32 products of one row with itself may come to so little


def best_earlier(rows: np.ndarray, *, floor: float, device: str = "cpu", threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """For each row its nearest row of lower number: (index (n,) int64, cosine (n,) float32); -1 and 0 where none has `floor`.

    rows (n, d) float16, of any length other than 0: cosines are of rows divided by their norms, in float32. On the CPU the
    candidates of a row are the 16 earlier rows of nearest sketch (256 bits) among those that share a hash key with it (among all,
    up to 4096 rows), and what these were found nearest to. Bounds and number of keys are such that 98.5 % of the pairs right at
    the floor are met, and for a floor of .9 at least 99.9 % of those at .95; a reported cosine is exact. Of equal cosines the
    lowest number wins. A row with 16 candidates looks no further once they are within 2 bits, or once it has met 16,384 earlier
    rows in crowds and they are likely at the floor: so n copies of one image cost neither n² comparisons nor more than 67 n
    products. The same rows give the same answer with any number of threads. On a GPU all products are computed
    (pipeline/dedup/backends.py). A row with NaN or infinity, or of zeros, is nobody's duplicate. Raises ValueError for rows that
    are not float16 (n, d) and a floor outside (0, 1].
    """
    rows = _checked(rows, floor)
    floor = min(floor, _EQUAL)
    if device != "cpu":
        from pipeline.dedup.backends import best_earlier_by_products

        return best_earlier_by_products(rows, floor=floor, device=device)
    if len(rows) < 2:
        return np.full(len(rows), -1, np.int64), np.zeros(len(rows), np.float32)
    hashed = _hashed(rows, floor, threads)
    return _best_of_kept(rows, hashed.norms, _kept(hashed, floor, threads), floor, threads)


def _checked(rows: np.ndarray, floor: float) -> np.ndarray:
    if rows.ndim != 2 or rows.dtype != np.float16:
        raise ValueError(f"rows are {rows.dtype} of shape {rows.shape}; they should be float16 of shape (n, d)")
    if not 0 < floor <= 1:
        raise ValueError(f"a floor of {floor}: it should be a cosine above 0, at most 1")
    return np.ascontiguousarray(rows)


def _hashed(rows: np.ndarray, floor: float, threads: int) -> Hashed:
    if len(rows) <= _ALL_PAIRS:
        return hash_all(rows, np.zeros(rows.shape[1], np.float32), n_keys=0, threads=threads)
    mean, radius = mean_to_subtract(rows, floor)
    return hash_all(rows, mean, n_keys=keys_needed(floor, radius), threads=threads)


def _kept(hashed: Hashed, floor: float, threads: int) -> np.ndarray:
    """(n, KEPT) int64: distance << 32 | row, ascending, of the earlier rows nearest by their sketches."""
    from pipeline.dedup.compiled.hashing import KEY_BITS
    from pipeline.dedup.compiled.pairs import NONE, bucket_order, compare

    n = len(hashed.norms)
    usable = hashed.norms > 0
    limits = np.stack([bits_apart(floor, hashed.radii, bits=bits) for bits in (256, 128)], axis=1)
    looked_at, kept = np.zeros(n, np.int64), np.full((n, KEPT), NONE)
    order = np.empty(n, np.uint32)
    for key in hashed.keys if len(hashed.keys) else np.zeros((1, n), np.uint16):
        ends = np.empty(1 << KEY_BITS if len(hashed.keys) else 1, np.int64)
        bucket_order(key, usable, order, ends)

        def part(buckets: tuple[int, int], ends: np.ndarray = ends) -> None:
            compare(order, ends, *buckets, hashed.sketches, limits, looked_at, kept)

        in_threads(part, _runs(ends), threads)
    return kept


def _runs(ends: np.ndarray) -> Iterator[tuple[int, int]]:
    """The buckets cut into runs (first, after the last) of about `_BUCKETS_AT_ONCE` rows."""
    cuts = np.searchsorted(ends, np.arange(_BUCKETS_AT_ONCE, ends[-1], _BUCKETS_AT_ONCE)) + 1
    edges = np.unique(np.concatenate([[0], cuts, [len(ends)]])).tolist()
    return pairwise(edges)


def _best_of_kept(
    rows: np.ndarray, norms: np.ndarray, kept: np.ndarray, floor: float, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """Computes the products with the kept rows; then, while that helps, with those that were found nearest to the kept rows.

    In a group of thousands many an earlier copy has a nearer sketch than the original has, and the original is what they link to.
    """
    from pipeline.dedup.compiled.products import best_of_kept, follow

    index, cosine = np.full(len(rows), -1, np.int64), np.zeros(len(rows), np.float32)
    bits, parts = rows.view(np.uint16), range(0, len(rows), _ROWS_PER_PRODUCT)

    def products(first: int) -> None:
        best_of_kept(bits, norms, kept, first, min(first + _ROWS_PER_PRODUCT, len(bits)), np.float32(floor), index, cosine)

    in_threads(products, parts, threads)
    for _ in range(_STEPS):
        links = index.copy()

        def step(first: int, links: np.ndarray = links) -> None:
            follow(bits, norms, kept, first, min(first + _ROWS_PER_PRODUCT, len(bits)), links, index, cosine)

        in_threads(step, parts, threads)
        if (links == index).all():
            break
    return index, cosine


def keep_better(index: np.ndarray, cosine: np.ndarray, members: np.ndarray, found: np.ndarray, found_cosine: np.ndarray) -> None:
    """Merges, in place, what `best_earlier` found among the rows `members` of a pool into the pool's index and cosine.

    members (m,) int64: the numbers of the cluster's rows in the pool, ascending; found (m,) int64 counts within the cluster.
    The higher cosine stays; of equal ones the lower number.
    """
    at = members[found >= 0]
    other, value = members[found[found >= 0]], found_cosine[found >= 0]
    better = (index[at] < 0) | (value > cosine[at]) | ((value == cosine[at]) & (other < index[at]))
    index[at[better]], cosine[at[better]] = other[better], value[better]


def plan(n_rows: int, d: int, *, device: str = "cpu", cluster_bytes: int = _CLUSTER_BYTES) -> int:
    """How many clusters a pool of (n_rows, d) float16 is best cut into; 1: none, `best_earlier` on all of it.

    On the CPU the work of `best_earlier` grows little faster than the rows, and to find the two clusters of a row costs more than
    its duplicates (bench/dedup.py), so they only bound memory: as few as leave `cluster_bytes` to each, every row being in two.
    A GPU computes all products: clusters of 100,000 rows keep it busy, and below 2 million rows it needs none.
    """
    rows = max(1, cluster_bytes // (2 * d))
    if n_rows <= rows or (device != "cpu" and n_rows <= _ROWS_ON_A_GPU):
        return 1
    return -(-2 * n_rows // (rows if device == "cpu" else min(rows, _CLUSTER_ROWS_ON_A_GPU)))


def nearest_earlier(
    rows: np.ndarray, *, floor: float, seed: int, device: str = "cpu", threads: int = 1, clusters: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """`best_earlier` of a pool (n, d) float16 that fits in memory, in as many clusters as `plan` says or as are given.

    With clusters each row is compared within those of its two nearest centroids: pairs cut apart by one border meet in the other.
    """
    rows = _checked(rows, floor)
    clusters = clusters or plan(*rows.shape, device=device)
    if clusters < 2:
        return best_earlier(rows, floor=floor, device=device, threads=threads)
    index, cosine = np.full(len(rows), -1, np.int64), np.zeros(len(rows), np.float32)
    centroids = train_centroids(rows[training_sample(len(rows), clusters, seed)], clusters, seed=seed, device=device)
    homes, _ = nearest_centroids(rows, centroids, count=2, device=device)
    for cluster in range(len(centroids)):
        members = np.flatnonzero((homes == cluster).any(axis=1))
        found = best_earlier(rows[members], floor=floor, device=device, threads=threads)
        keep_better(index, cosine, members, *found)
    return index, cosine
