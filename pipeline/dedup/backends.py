"""The same questions answered by plain matrix products in torch: for a GPU, where all pairs cost less than avoiding them.

Products of normalised float16 rows are summed in float32 on CUDA (float32 all through on the CPU, where the tests run this path);
reported cosines are then computed anew in float32 from the rows as given.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

_BLOCK = {"cuda": 8192, "cpu": 2048}  # rows and columns of a block of products: 256 MiB on a GPU
_SLACK = 1e-3  # that rounding to float16 can take from a cosine


def best_earlier_by_products(rows: np.ndarray, *, floor: float, device: str) -> tuple[np.ndarray, np.ndarray]:
    """What `nearest.best_earlier` answers, exactly: rows (n, d) float16 → (index (n,) int64, cosine (n,) float32).

    The lower triangle in blocks, each reduced to its rows' maxima at once: n² d operations, memory for the rows and one block.
    """
    units = _units(rows, device)
    best = torch.full((len(units),), floor - _SLACK, dtype=torch.float32, device=device)
    index = torch.full((len(units),), -1, dtype=torch.int64, device=device)
    size = _block(device)
    for start in range(0, len(units), size):
        mine = slice(start, start + size)
        for before in range(0, start + 1, size):
            products = _products(units[mine], units[before : before + size])
            if before == start:
                products.masked_fill_(torch.ones_like(products, dtype=torch.bool).triu_(), -2)
            value, at = products.max(dim=1)  # the first of equal ones
            better = value > best[mine]
            best[mine] = torch.where(better, value, best[mine])
            index[mine] = torch.where(better, at + before, index[mine])
    return _exactly(rows, index.cpu().numpy(), floor)


def _exactly(rows: np.ndarray, index: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    from pipeline.dedup.centroids import unit_rows

    cosine = np.zeros(len(rows), np.float32)
    found = np.flatnonzero(index >= 0)
    for start in range(0, len(found), 65_536):
        part = found[start : start + 65_536]
        cosine[part] = np.minimum(np.einsum("ij,ij->i", unit_rows(rows[part]), unit_rows(rows[index[part]])), 1)
    lost = cosine < np.float32(floor)
    index[lost], cosine[lost] = -1, 0
    return index, cosine


def train_centroids_in_torch(sample: np.ndarray, k: int, *, seed: int, device: str, iterations: int) -> np.ndarray:
    """Spherical k-means from k rows drawn with `seed`; sample (m, d) float32 unit rows → (k, d) float32 unit rows.

    A centroid that no row is nearest to moves to one of the rows that are farthest from theirs.
    """
    rows = torch.from_numpy(sample).to(device)
    chosen = np.random.default_rng(seed).choice(len(sample), k, replace=False)
    centroids = rows[torch.from_numpy(np.sort(chosen)).to(device)].clone()
    for _ in range(iterations):
        sums, counts = torch.zeros_like(centroids), torch.zeros(k, device=device)
        values = []
        for part in _parts(rows):
            value, nearest = (part @ centroids.T).max(dim=1)
            member = torch.nn.functional.one_hot(nearest, k).to(part.dtype)  # sums by a product: in the same order every time
            sums += member.T @ part
            counts += member.sum(dim=0)
            values.append(value)
        empty = torch.nonzero(counts == 0).flatten()
        sums[empty] = rows[torch.argsort(torch.cat(values), stable=True)[: len(empty)]]
        lengths = sums.norm(dim=1, keepdim=True)
        centroids = torch.where(lengths > 0, sums / lengths.clamp_min(1e-30), centroids)
    result: np.ndarray = centroids.cpu().numpy()
    return result


def nearest_centroids_in_torch(
    rows: np.ndarray, centroids: np.ndarray, *, count: int, device: str
) -> tuple[np.ndarray, np.ndarray]:
    """What `centroids.nearest_centroids` answers: ids (n, count) int32 and cosines (n, count) float32."""
    count = min(count, len(centroids))
    ids, cosines = np.full((len(rows), count), -1, np.int32), np.zeros((len(rows), count), np.float32)
    across = torch.from_numpy(centroids).to(device)
    size = _block(device)
    for start in range(0, len(rows), size):
        part = _units(rows[start : start + size], device, torch.float32)
        products = part @ across.T
        somewhere = part.any(dim=1).cpu().numpy()
        for place in range(count):
            value, at = products.max(dim=1)
            products.scatter_(1, at[:, None], -torch.inf)
            ids[start : start + size, place] = np.where(somewhere, at.cpu().numpy(), -1)
            cosines[start : start + size, place] = np.where(somewhere, value.cpu().numpy(), 0)
    return ids, cosines


def _units(rows: np.ndarray, device: str, dtype: torch.dtype | None = None) -> Tensor:
    """Rows of length 1 on the device, in float16 on CUDA unless told otherwise; zeros for those without a direction."""
    dtype = dtype or (torch.float16 if device.startswith("cuda") else torch.float32)
    units = torch.empty(rows.shape, dtype=dtype, device=device)
    size = 65_536
    for start in range(0, len(rows), size):
        part = torch.from_numpy(np.array(rows[start : start + size])).to(device).float()  # a copy: torch wants to own it
        norms = part.norm(dim=1, keepdim=True)
        usable = torch.isfinite(norms) & (norms > 0)
        units[start : start + size] = torch.where(usable, part / norms, 0.0).to(dtype)
    return units


def _products(some: Tensor, others: Tensor) -> Tensor:
    """(a, d), (b, d) → (a, b) float32."""
    if some.dtype == torch.float16:
        return torch.mm(some, others.T, out_dtype=torch.float32)
    return some @ others.T


def _parts(rows: Tensor) -> Iterator[Tensor]:
    size = _block(rows.device.type)
    return (rows[start : start + size] for start in range(0, len(rows), size))


def _block(device: str) -> int:
    return _BLOCK["cuda" if device.startswith("cuda") else "cpu"]
