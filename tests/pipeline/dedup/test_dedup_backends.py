"""Products in torch, as a GPU computes them: here on the CPU, against brute force and against the other way."""

import numpy as np
import pytest

from pipeline.dedup import backends
from pipeline.dedup.backends import best_earlier_by_products, nearest_centroids_in_torch
from pipeline.dedup.centroids import nearest_centroids, train_centroids
from pipeline.dedup.nearest import best_earlier


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that these few rows do not fill."""
    monkeypatch.setattr(backends, "_BLOCK", {"cpu": 100})


def groups(n: int, d: int, *, seed: int = 0) -> np.ndarray:
    """(n, d) float16: four rows of each direction, at cosines of .9 and more to each other, and equal ones."""
    rng = np.random.default_rng(seed)
    ones = rng.standard_normal((n // 4 + 1, d), dtype=np.float32)[rng.integers(0, n // 4 + 1, n)]
    rows = (ones + rng.choice([0, 0.1, 0.3], (n, 1)) * rng.standard_normal((n, d))).astype(np.float16)
    rows[rng.integers(0, n, n // 10)] = rows[0]
    return rows


@pytest.mark.parametrize("n", [1, 2, 99, 100, 101, 450])
def test_products_find_exactly_the_nearest_earlier_row(n: int):
    rows = groups(n, 48)
    index, cosine = best_earlier_by_products(rows, floor=0.9, device="cpu")
    units = rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    products = np.tril(units @ units.T, -1)
    true = products.max(axis=1)
    assert ((index >= 0) == (true >= 0.9)).all()
    assert (index < np.arange(n)).all()
    np.testing.assert_allclose(cosine, np.where(true >= 0.9, true, 0), atol=1e-6)


def test_of_equal_rows_the_first_is_the_nearest():
    rows = groups(450, 32)
    rows[[7, 120, 121, 333, 449]] = rows[7]
    index, _ = best_earlier_by_products(rows, floor=0.9, device="cpu")
    first = np.flatnonzero((rows == rows[7]).all(axis=1))[0]
    assert (index[[120, 121, 333, 449]] == first).all()


def test_sketches_and_products_agree_on_a_small_pool():
    rows = groups(400, 128)
    index, cosine = best_earlier(rows, floor=0.9)
    exact_index, exact_cosine = best_earlier_by_products(rows, floor=0.9, device="cpu")
    np.testing.assert_allclose(cosine, exact_cosine, atol=1e-6)
    assert (index == exact_index).mean() > 0.99


@pytest.mark.parametrize("value", [np.nan, np.inf, 0])
def test_a_row_without_direction_is_nobodys_duplicate(value: float):
    rows = np.ones((250, 8), np.float16)
    rows[::3] = value
    index, cosine = best_earlier_by_products(rows, floor=0.9, device="cpu")
    assert (index[::3] == -1).all()
    assert index[1:].reshape(-1)[0] == -1
    assert (index[2::3] == 1).all()
    assert np.isfinite(cosine).all()


def test_no_rows_at_all():
    index, cosine = best_earlier_by_products(np.zeros((0, 8), np.float16), floor=0.9, device="cpu")
    assert len(index) == len(cosine) == 0


def test_torch_names_the_same_centroids():
    rows = groups(450, 32)
    rows[5] = np.nan
    centroids = train_centroids(rows, 12, seed=0)
    ids, cosines = nearest_centroids(rows, centroids, count=3)
    in_torch, cosines_in_torch = nearest_centroids_in_torch(rows, centroids, count=3, device="cpu")
    assert (ids == in_torch).all()
    np.testing.assert_allclose(cosines, cosines_in_torch, atol=1e-6)
