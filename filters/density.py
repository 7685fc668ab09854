"""density: keeps more of diverse clusters of images than of dense ones, and in each cluster the images far from its centre."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pyarrow as pa

from filters.contract import Filter, Pool
from filters.embeddings import unit
from filters.measured import checked_fraction
from filters.needed import FROM_DEDUP, require_columns
from filters.registry import Context, Entry, parameter
from filters.uids.uid_hash import uid_hashes
from schemas.errors import UsageError, UserError

_NAME = "density"
_READS = ("uid", "cluster", "cluster_cos")
_BLOCK_CELLS = 1 << 24  # of the matrix of centroids' cosines at once: 64 MiB


@dataclass(frozen=True)
class Density:
    """Keeps `fraction` of the pool, shared out over clusters by how complex they are.

    Abbas et al. 2024, "Effective pruning of web-scale datasets based on complexity of concept clusters" (ICLR). d_intra is the
    mean cosine distance of a cluster's rows to its centroid, d_inter that of its centroid to the `neighbours` nearest others; the
    share asked for cluster j of n_j rows is softmax(d_inter · d_intra / temperature)_j. The numbers of rows are the nearest to
    these shares (least squares) that sum to the whole with 1 to n_j from each cluster, or 0 to n_j where fewer rows are asked
    for than there are clusters; `quotas` says how. In a cluster the rows least like the centroid are kept (`hardest`), or the
    most like it; equal cosines are parted by a hash of the uid.

    The fraction is of all rows of the pool; those without a cluster are dropped. The paper prunes a deduplicated pool: in a
    recipe, put semantic_dedup before this in `then`.
    """

    fraction: float
    neighbours: int
    temperature: float
    hardest: bool
    centroids: np.ndarray = field(compare=False)  # (k, d) floats
    name: ClassVar[str] = _NAME
    reads: ClassVar[tuple[str, ...]] = _READS

    def resolve(self, pool: Pool) -> Filter:
        """The limit of each cluster, in one pass; 16 bytes of memory per row, three times that while they are sorted."""
        clusters, worth, hashes, rows = _read(pool, len(self.centroids), self.hardest)
        sizes = np.bincount(clusters, minlength=len(self.centroids))
        mean = np.bincount(clusters, weights=worth, minlength=len(sizes)) / np.maximum(sizes, 1)
        intra = 1 + mean if self.hardest else 1 - mean
        shares = _softmax(intra * distance_to_nearest(self.centroids, self.neighbours) / self.temperature, sizes > 0)
        quota = quotas(shares, sizes, min(int(rows * self.fraction), len(clusters)))
        order = np.lexsort((hashes, -worth, clusters))
        last = np.cumsum(sizes) - sizes + quota - 1  # in `order`: the last row that each cluster keeps
        kept = quota > 0
        at_least, up_to = np.full(len(sizes), np.inf, np.float32), np.zeros(len(sizes), np.uint64)
        at_least[kept], up_to[kept] = worth[order[last[kept]]], hashes[order[last[kept]]]
        return WithinClusters(self.hardest, int(quota.sum()), at_least, up_to)


@dataclass(frozen=True)
class WithinClusters:
    """Keeps the rows of a cluster whose worth is more than its limit, and of those at the limit the smaller hashes.

    A row's worth is its cosine to the centroid, times -1 where the hardest rows are kept.
    """

    hardest: bool
    rows: int  # that it keeps of the pool it was found on; copies of a uid come or go together
    at_least: np.ndarray = field(compare=False)  # (k,) float32: worths
    up_to: np.ndarray = field(compare=False)  # (k,) uint64: hashes
    name: ClassVar[str] = _NAME
    reads: ClassVar[tuple[str, ...]] = _READS

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """(n,) True where the row is within its cluster's number. Raises UserError for a cluster that has no centroid."""
        places, clusters, worth = _clustered(batch, len(self.at_least), self.hardest)
        hashes = uid_hashes(batch)[places]
        limits = self.at_least[clusters]
        kept = np.zeros(batch.num_rows, bool)
        kept[places] = (worth > limits) | ((worth == limits) & (hashes <= self.up_to[clusters]))
        return pa.array(kept)


def distance_to_nearest(centroids: np.ndarray, neighbours: int) -> np.ndarray:
    """(k,) float64: the mean cosine distance of each of (k, d) centroids to its nearest others, fewer where there are fewer.

    A single centroid has distance 0.
    """
    rows, found = unit(centroids), np.zeros(len(centroids))
    nearest = min(neighbours, len(rows) - 1)
    if not nearest:
        return found
    block = max(1, _BLOCK_CELLS // len(rows))
    for start in range(0, len(rows), block):
        cosines = rows[start : start + block] @ rows.T
        cosines[np.arange(len(cosines)), np.arange(start, start + len(cosines))] = -np.inf
        found[start : start + block] = 1 - np.partition(cosines, -nearest, axis=1)[:, -nearest:].mean(axis=1)
    return found


def quotas(shares: np.ndarray, sizes: np.ndarray, rows: int) -> np.ndarray:
    """(k,) int64 that sum to `rows`, at most `sizes` each, and at least 1 of each cluster that has rows where there are enough.

    The paper's quadratic programme: the point nearest to shares · rows with that sum and those bounds is shares · rows + λ, each
    cut at its bounds, where λ is found by bisection. Then all are rounded down, and what is left goes to the largest remainders.
    """
    most = sizes.astype(np.float64)
    least = np.minimum(most, 1.0 if rows >= np.count_nonzero(sizes) else 0.0)
    asked = shares * rows
    low, high = (least - asked).min(initial=0), (most - asked).max(initial=0)
    for _ in range(100):  # halves float64's whole precision away
        middle = (low + high) / 2
        low, high = (middle, high) if np.clip(asked + middle, least, most).sum() < rows else (low, middle)
    exact = np.clip(asked + high, least, most)
    whole = np.floor(exact)
    open_places = np.flatnonzero(whole < most)
    order = open_places[np.argsort(whole[open_places] - exact[open_places], kind="stable")]
    whole[order[: max(0, rows - int(whole.sum()))]] += 1
    return np.asarray(whole.astype(np.int64))


def read_centroids(path: str) -> np.ndarray:
    """The (k, d) floats of a .npy. Raises UserError for a file that cannot be used, or a centroid without a direction."""
    try:
        centroids: np.ndarray = np.load(path, "r", allow_pickle=False)  # mapped: a header may claim any shape
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"centroids {path}: not a .npy of centroids ({error}); give `webpairs dedup`'s centroids.npy") from error
    if not isinstance(centroids, np.ndarray) or centroids.ndim != 2 or not centroids.size or centroids.dtype.kind != "f":
        raise UserError(f"centroids {path}: not an array of (k, d) floats; give `webpairs dedup`'s centroids.npy")
    if (wrong := np.flatnonzero(~np.isfinite(unit(centroids)).all(axis=1))).size:
        raise UserError(f"centroids {path}: row {wrong[0]} is zero or not finite; make them again with `webpairs dedup`")
    return np.asarray(centroids)


def _softmax(logits: np.ndarray, present: np.ndarray) -> np.ndarray:
    """(k,) float64 that sum to 1 over the clusters that have rows; 0 elsewhere."""
    weights = np.zeros(len(logits))
    if present.any():
        weights[present] = np.exp(logits[present] - logits[present].max())
        weights /= weights.sum()
    return weights


def _read(pool: Pool, clusters: int, hardest: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Of all rows with a cluster: its number (int32), their worth (float32), the uid's hash; and the number of all rows."""
    parts, rows = [(np.empty(0, np.int32), np.empty(0, np.float32), np.empty(0, np.uint64))], 0
    for batch in pool(_READS):
        places, numbers, worth = _clustered(batch, clusters, hardest)
        parts.append((numbers, worth, uid_hashes(batch)[places]))
        rows += batch.num_rows
    numbers, worth, hashes = (np.concatenate(one) for one in zip(*parts, strict=True))
    return numbers, worth, hashes, rows


def _clustered(batch: pa.RecordBatch, clusters: int, hardest: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The places of the rows that have a cluster and a cosine, the cluster's number, and their worth."""
    numbers = batch["cluster"].cast(pa.float64()).to_numpy(zero_copy_only=False)
    cosines = batch["cluster_cos"].cast(pa.float32()).to_numpy(zero_copy_only=False)
    places = np.flatnonzero(np.isfinite(numbers) & np.isfinite(cosines))
    numbers, cosines = numbers[places].astype(np.int64), cosines[places]
    if (wrong := np.flatnonzero((numbers < 0) | (numbers >= clusters))).size:
        raise UserError(f"{_NAME}: cluster {numbers[wrong[0]]}, but there are {clusters} centroids: give those of the same dedup")
    return places, numbers.astype(np.int32), -cosines if hardest else cosines


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What density is told."""

    fraction: float = parameter("the share of the pool that is kept, 0 to 1")
    centroids: str = parameter("the centroids.npy that `webpairs dedup` wrote beside the columns", file=True)
    neighbours: int = parameter("how many nearest centroids say how far a cluster is from others", 20)
    temperature: float = parameter("of the softmax over clusters: greater gives more even shares", 0.1)
    hardest: bool = parameter("keep of each cluster the images farthest from its centroid; false: the nearest", True)


def _build(asked: Parameters, context: Context) -> Density:
    if asked.neighbours < 1 or not asked.temperature > 0:
        raise UsageError(
            f"{_NAME}: neighbours {asked.neighbours}, temperature {asked.temperature}: must be at least 1 and more than 0"
        )
    require_columns(_NAME, _READS, context, FROM_DEDUP)
    fraction = checked_fraction(asked.fraction)
    return Density(fraction, asked.neighbours, asked.temperature, asked.hardest, read_centroids(asked.centroids))


ENTRY = Entry(
    name=_NAME,
    summary="more of diverse clusters of images than of dense ones, and of each the images farthest from its centre",
    source="Abbas et al. 2024, Effective pruning of web-scale datasets based on complexity of concept clusters",
    parameters=Parameters,
    build=_build,
)
