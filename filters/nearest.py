"""Rows → the nearest of k centroids by dot product, in blocks of bounded memory: on a GPU where torch sees one, else by BLAS."""

import ctypes
import os
from collections.abc import Callable
from typing import Any

import numpy as np

_BLOCK_NUMBERS = {"cpu": 1 << 24, "cuda": 1 << 28}  # float32 products at a time: 64 MB of memory, 1 GB of a GPU's


class Nearest:
    """The centroids, (k, d) float32, where they are multiplied. `device` is "cpu" or torch's name of a GPU."""

    def __init__(self, centroids: np.ndarray, device: str | None = None) -> None:
        self.device = device or fastest_device()
        self.count, self.dimensions = centroids.shape
        self._block_rows = max(1, _BLOCK_NUMBERS[self.device.partition(":")[0]] // self.count)
        self._of_block = _by_blas(centroids) if self.device == "cpu" else _by_torch(centroids, self.device)

    def of(self, rows: np.ndarray) -> np.ndarray:
        """(n,) int64, which centroid has the largest product with each of the (n, d) rows: the first, where several have.

        Products are those of float32. A row with NaN has the first centroid whose product is none, as torch and NumPy say it.
        """
        parts = [self._of_block(rows[at : at + self._block_rows]) for at in range(0, len(rows), self._block_rows)]
        return np.concatenate([np.empty(0, np.int64), *parts])


def fastest_device() -> str:
    """A GPU of this machine, as torch names it, or "cpu". Processes take turns. Without a driver, no torch is imported."""
    try:
        ctypes.CDLL("libcuda.so.1")
        import torch
    except (OSError, ImportError):
        return "cpu"
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return f"cuda:{os.getpid() % gpus}" if gpus else "cpu"


def _by_blas(centroids: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    columns = centroids.astype(np.float32, copy=False).T

    def of_block(rows: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", over="ignore"):  # infinite numbers: their products are compared like others
            return np.asarray((rows.astype(np.float32) @ columns).argmax(axis=1), np.int64)

    return of_block


def _by_torch(centroids: np.ndarray, device: str) -> Callable[[np.ndarray], np.ndarray]:
    import torch

    columns = torch.tensor(np.array(centroids, np.float32), device=device).T

    def of_block(rows: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            found: Any = (torch.tensor(rows, device=device).float() @ columns).argmax(dim=1)
            return np.asarray(found.cpu().numpy(), np.int64)

    return of_block
