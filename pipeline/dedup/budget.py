"""What fits into --memory-gb: all rows at once, or how many at a time; and whether the disk has room for the others."""

import os
import shutil
from dataclasses import dataclass

from pipeline import io
from schemas.errors import UsageError, UserError

_GB = 1_000_000_000
_LIBRARIES = 450_000_000  # bytes: Python with NumPy, Arrow, faiss, SciPy and compiled code; torch would be 190 MB more
_PER_POOL_ROW = 24  # ranks, nearest row, its cosine, and what sorts them
_PER_ROW = 360  # beside the embedding: sketches, hash keys, candidates
_BYTES_PER_SAMPLED = 10  # of each number of a row that centroids are trained on: as float16, and twice as float32
_LEAST_ROWS = 8192  # at a time; fewer would make the work grow with the square of the rows
_ROWS_PER_CENTROID = 256  # as training_sample takes
_ENOUGH_ROWS = 1 << 20  # at a time: more would gain nothing


@dataclass(frozen=True)
class Budget:
    """rows_at_once: of embeddings, that one search takes; all_at_once: that these are all rows of the pool, kept in memory."""

    rows_at_once: int
    all_at_once: bool


def budget_for(memory_gb: float, *, n: int, d: int, clusters: int) -> Budget:
    """For n rows of d float16 in so many clusters. Raises UsageError where it is too little even for the ranks of the rows."""
    spare = memory_gb * _GB - _LIBRARIES - n * _PER_POOL_ROW
    training = min(n, _ROWS_PER_CENTROID * clusters) * d * _BYTES_PER_SAMPLED if clusters > 1 else 0
    copied = max(n * 2 * d, training) if clusters > 1 else 0  # out of the pool: rows to train on, then those of a cluster
    whole = n * (2 * d + _PER_ROW) + copied
    if spare >= whole:
        return Budget(rows_at_once=max(n, 2), all_at_once=True)
    rows = int(spare / (2 * d + _PER_ROW))
    if rows < _LEAST_ROWS or spare < training:
        least = (_LIBRARIES + n * _PER_POOL_ROW + max(training, _LEAST_ROWS * (2 * d + _PER_ROW))) / _GB
        raise UsageError(f"--memory-gb {memory_gb:g}: {n:,} rows of {d} dimensions need at least {least + 0.05:.1f}")
    return Budget(rows_at_once=min(rows, _ENOUGH_ROWS), all_at_once=False)


def spill_bytes(n: int, d: int, clusters: int) -> int:
    """What lies on disk meanwhile: every row once for each of its clusters, with its rank."""
    return n * (2 * d + 4) * min(2, clusters)


def require_disk(folder: str, needed: int) -> None:
    """Raises UserError where the disk of a local `folder` has less room than that."""
    if not io.is_local(folder):
        return
    place = io.absolute(folder)
    while not os.path.exists(place):
        place = os.path.dirname(place)
    free = shutil.disk_usage(place).free
    if free < needed:
        raise UserError(
            f"{folder}: needs {needed / _GB:.1f} GB for embeddings by cluster, {free / _GB:.1f} GB are free; make room, give an "
            "--out elsewhere, or more --memory-gb"
        )


__all__ = ["Budget", "budget_for", "require_disk", "spill_bytes"]
