"""Centroids by spherical k-means, and which are nearest to a row: how a pool too large for one memory is cut."""

import importlib.util
from typing import Any

import numpy as np

_ROWS_PER_CENTROID = 256  # in the sample that k-means is trained on
_ROWS_AT_ONCE = 1024
# Centroids, beyond those asked for, whose cosines are computed anew, row by row: the last bits of a matrix product depend on
# where in the matrix a row was, and a row's clusters should not depend on the rows that it came with.
_MORE = 2


def training_sample(n: int, k: int, seed: int) -> np.ndarray:
    """(m,) int64: the numbers, ascending, of the rows of n to train k centroids on."""
    m = min(n, k * _ROWS_PER_CENTROID)
    return np.sort(np.random.default_rng([seed, n, k]).choice(n, m, replace=False))


def train_centroids(sample: np.ndarray, k: int, *, seed: int, device: str = "cpu", iterations: int = 8) -> np.ndarray:
    """(m, d) float16 or float32 → (k, d) float32 unit rows: the centroids of spherical k-means (Dhillon and Modha 2001).

    Rows are made unit length first; those with NaN, infinity or zeros only are left out. Fewer than k rows that are left give
    fewer centroids. faiss where it is installed and the device is the CPU, or it is faiss with CUDA; else torch.
    """
    sample = unit_rows(sample)
    sample = sample[np.einsum("ij,ij->i", sample, sample) > 0]
    k = min(k, len(sample))
    if k == 0:
        return np.zeros((0, sample.shape[1]), np.float32)
    if not _faiss_for(device):
        from pipeline.dedup.backends import train_centroids_in_torch

        return train_centroids_in_torch(sample, k, seed=seed, device=device, iterations=iterations)
    import faiss

    clustering = faiss.Clustering(sample.shape[1], k)
    clustering.niter, clustering.seed, clustering.spherical = iterations, seed % 2**31, True
    clustering.min_points_per_centroid, clustering.max_points_per_centroid = 1, len(sample)
    clustering.train(sample, _flat_index(sample.shape[1], device))
    return unit_rows(faiss.vector_to_array(clustering.centroids).reshape(k, -1))


def _flat_index(d: int, device: str) -> Any:
    import faiss

    if device == "cpu":
        return faiss.IndexFlatIP(d)
    config = faiss.GpuIndexFlatConfig()
    config.device = int(device.partition(":")[2] or 0)
    return faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), d, config)


def _faiss_for(device: str) -> bool:
    if importlib.util.find_spec("faiss") is None:
        return False
    if device == "cpu":
        return True
    import faiss

    return hasattr(faiss, "StandardGpuResources")


def nearest_centroids(
    rows: np.ndarray, centroids: np.ndarray, *, count: int = 2, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest `count` of centroids (k, d) float32 to rows (n, d) float16: ids (n, count) int32, cosines (n, count) float32.

    Nearest first, of equal ones the lowest id; `count` is at most k. Rows that no cosine can be told of (NaN, infinity, zeros)
    get -1 and 0. A row's answer does not depend on the rows that it comes with.
    """
    if device != "cpu":
        from pipeline.dedup.backends import nearest_centroids_in_torch

        return nearest_centroids_in_torch(rows, centroids, count=count, device=device)
    count = min(count, len(centroids))
    ids, cosines = np.full((len(rows), count), -1, np.int32), np.zeros((len(rows), count), np.float32)
    for start in range(0, len(rows) if count else 0, _ROWS_AT_ONCE):
        part = unit_rows(rows[start : start + _ROWS_AT_ONCE])
        near = _nearest(part, centroids, min(count + _MORE, len(centroids)))
        exact = np.stack([np.einsum("ij,ij->i", part, centroids[column]) for column in near.T], axis=1)
        order = np.lexsort((near, -exact), axis=1)[:, :count]
        somewhere = part.any(axis=1, keepdims=True)
        ids[start : start + len(part)] = np.where(somewhere, np.take_along_axis(near, order, axis=1), -1)
        cosines[start : start + len(part)] = np.where(somewhere, np.take_along_axis(exact, order, axis=1), 0)
    return ids, cosines


def _nearest(units: np.ndarray, centroids: np.ndarray, count: int) -> np.ndarray:
    """(n, d), (k, d) → (n, count): the numbers of the nearest centroids, nearest first."""
    products, every = units @ centroids.T, np.arange(len(units))
    near = np.empty((len(units), count), np.int64)
    for place in range(count):
        near[:, place] = products.argmax(axis=1)
        products[every, near[:, place]] = -np.inf
    return near


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """(n, d) → float32 rows of length 1; zeros where a row has NaN, infinity or no length."""
    rows = rows.astype(np.float32)
    with np.errstate(all="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        usable = np.isfinite(norms) & (norms > 0)
        rows /= norms[:, None]
    rows[~usable] = 0
    return rows
