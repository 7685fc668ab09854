"""Centroids: what k-means finds, which are nearest to a row, and rows that no cosine can be told of."""

import sys

import numpy as np
import pytest

from pipeline.dedup.centroids import nearest_centroids, train_centroids, training_sample


def around(centres: np.ndarray, n: int, *, seed: int = 0) -> np.ndarray:
    """(n, d) float16: rows at a cosine of about .9 to one of the centres (k, d), in turn."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((n, centres.shape[1]), dtype=np.float32) / np.sqrt(centres.shape[1])
    return (centres[np.arange(n) % len(centres)] + 0.5 * noise).astype(np.float16)


def directions(k: int, d: int, *, seed: int = 9) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((k, d), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture(params=["faiss", "torch"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Either library computes; without faiss torch does."""
    if request.param == "torch":
        monkeypatch.setattr("pipeline.dedup.centroids._faiss_for", lambda device: False)
    else:
        pytest.importorskip("faiss")


@pytest.mark.usefixtures("library")
def test_centroids_of_well_separated_rows_lie_among_them():
    centres = directions(4, 64)
    found = train_centroids(around(centres, 2000), 16, seed=0)
    assert found.shape == (16, 64)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert ((found @ centres.T).max(axis=1) > 0.9).all()


@pytest.mark.usefixtures("library")
def test_training_depends_on_the_seed_alone():
    rows = around(directions(30, 32), 1500)
    one, again, other = (train_centroids(rows, 8, seed=seed) for seed in (3, 3, 4))
    assert one.tobytes() == again.tobytes()
    assert not np.array_equal(one, other)


@pytest.mark.usefixtures("library")
def test_training_is_better_than_a_guess():
    rows = around(directions(40, 48), 3000)
    trained = nearest_centroids(rows, train_centroids(rows, 20, seed=1))[1][:, 0].mean()
    guessed = nearest_centroids(rows, train_centroids(rows, 20, seed=1, iterations=1))[1][:, 0].mean()
    assert trained > guessed


@pytest.mark.usefixtures("library")
def test_fewer_rows_than_centroids_give_as_many_as_there_are_rows():
    rows = directions(3, 16).astype(np.float16)
    assert train_centroids(rows, 8, seed=0).shape == (3, 16)
    assert train_centroids(rows[:0], 8, seed=0).shape == (0, 16)


@pytest.mark.usefixtures("library")
def test_rows_without_direction_are_not_trained_on():
    rows = around(directions(4, 16), 400)
    rows[::5], rows[1::5, 3], rows[2::5, 3] = 0, np.nan, np.inf
    usable = np.isfinite(rows).all(axis=1) & rows.any(axis=1)
    assert train_centroids(rows, 4, seed=0).tobytes() == train_centroids(rows[usable], 4, seed=0).tobytes()


@pytest.mark.usefixtures("library")
def test_rows_that_are_all_the_same_can_be_trained_on():
    found = train_centroids(np.ones((50, 8), np.float16), 4, seed=0)
    assert np.isfinite(found).all()
    assert found.shape == (4, 8)


def test_torch_is_not_loaded_where_faiss_trains(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("faiss")
    monkeypatch.setitem(sys.modules, "pipeline.dedup.backends", None)
    assert train_centroids(around(directions(2, 8), 20), 2, seed=0).shape == (2, 8)


def test_the_nearest_centroids_are_those_of_highest_cosine():
    centroids, rows = directions(37, 40), around(directions(9, 40, seed=1), 2500)
    ids, cosines = nearest_centroids(rows, centroids, count=3)
    units = rows.astype(np.float64)
    products = units @ centroids.T.astype(np.float64) / np.linalg.norm(units, axis=1, keepdims=True)
    assert ids.dtype == np.int32
    assert cosines.dtype == np.float32
    np.testing.assert_allclose(cosines, -np.sort(-products, axis=1)[:, :3], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(products, ids.astype(np.int64), axis=1), cosines, atol=1e-6)


def test_of_equal_centroids_the_first_is_nearest():
    centroids = directions(3, 8)[[0, 1, 1, 1, 2]]
    assert nearest_centroids(centroids[1:2].astype(np.float16), centroids, count=3)[0].tolist() == [[1, 2, 3]]


def test_the_nearest_centroids_of_a_row_do_not_depend_on_the_rows_it_comes_with():
    centroids, rows = directions(50, 64), around(directions(20, 64, seed=2), 3000)
    ids, cosines = nearest_centroids(rows, centroids)
    for start, stop in ((0, 1), (5, 700), (1023, 2999), (2990, 3000)):
        some, some_cosines = nearest_centroids(rows[start:stop], centroids)
        assert (some == ids[start:stop]).all()
        assert (some_cosines == cosines[start:stop]).all()


def test_a_row_without_direction_is_near_to_none():
    rows = np.ones((5, 8), np.float16)
    rows[0], rows[1, 2], rows[2, 2] = 0, np.nan, np.inf
    ids, cosines = nearest_centroids(rows, directions(4, 8))
    assert (ids[:3] == -1).all()
    assert (ids[3:] >= 0).all()
    assert (cosines[:3] == 0).all()


@pytest.mark.parametrize("n", [0, 1])
def test_more_centroids_are_asked_for_than_there_are(n: int):
    ids, cosines = nearest_centroids(np.ones((n, 8), np.float16), directions(1, 8), count=2)
    assert ids.shape == cosines.shape == (n, 1)


def test_the_sample_is_drawn_once_and_for_all():
    sample = training_sample(10_000, 4, seed=5)
    assert sample.tolist() == training_sample(10_000, 4, seed=5).tolist()
    assert (np.diff(sample) > 0).all()
    assert len(sample) == 1024
    assert training_sample(10, 4, seed=5).tolist() == list(range(10))
