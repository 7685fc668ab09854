"""For each row the nearest earlier one: against brute force, with crowds, ties, threads and rows without a direction."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedup.nearest import best_earlier, keep_better, nearest_earlier, plan
from pipeline.dedup.sketches import bits_apart, keys_needed, sketch

FLOOR = 0.9
ROUNDING = 3e-6  # of a product of 512 terms in float32


def normal(rng: np.random.Generator, n: int, d: int) -> np.ndarray:
    rows = rng.standard_normal((n, d), dtype=np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def beside(rng: np.random.Generator, rows: np.ndarray, cosines: np.ndarray) -> np.ndarray:
    """For each row another at a cosine to it."""
    away = rng.standard_normal(rows.shape, dtype=np.float32)
    away -= (away * rows).sum(axis=1, keepdims=True) * rows
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    return cosines[:, None] * rows + np.sqrt(1 - cosines[:, None] ** 2) * away


def images(n: int, d: int = 512, *, seed: int = 0, cone: float = 0.0, viral: int = 0) -> np.ndarray:
    """(n, d) float16 like embeddings of images: topics, a cone of that share, one in ten a copy of another, `viral` of one."""
    rng = np.random.default_rng(seed)
    n_copies = n // 10 + viral
    topics, place = normal(rng, max(2, n // 200), d), rng.integers(0, max(2, n // 200), n - n_copies)
    rows = np.sqrt(0.4) * topics[place] + np.sqrt(0.6) * normal(rng, n - n_copies, d)
    rows = np.sqrt(cone) * normal(rng, 1, d) + np.sqrt(1 - cone) * rows
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    copied = np.concatenate([np.zeros(viral, np.int64), 1 + np.arange(n_copies - viral) // 19])
    copies = beside(rng, rows[copied], rng.choice(np.array([1, 0.99, 0.97, 0.95], np.float32), n_copies))
    return np.concatenate([rows, copies])[rng.permutation(n)].astype(np.float16)


def by_brute_force(rows: np.ndarray, floor: float) -> tuple[np.ndarray, np.ndarray]:
    rows = rows.astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    products = np.tril(rows @ rows.T, -1)
    index, cosine = products.argmax(axis=1), np.minimum(products.max(axis=1), 1)
    return np.where(cosine >= floor, index, -1), np.where(cosine >= floor, cosine, 0).astype(np.float32)


def cosine_of(rows: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, other = rows[one].astype(np.float64), rows[other].astype(np.float64)
    return (one * other).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def assert_sound(rows: np.ndarray, index: np.ndarray, cosine: np.ndarray, floor: float) -> None:
    """Every pair that is reported is one: an earlier row, and their cosine as it is."""
    found = np.flatnonzero(index >= 0)
    assert (index[found] < found).all()
    assert (cosine[found] >= np.float32(floor)).all()
    np.testing.assert_allclose(cosine[found], cosine_of(rows, found, index[found]), atol=ROUNDING)
    assert (cosine[index < 0] == 0).all()


def recall(cosine: np.ndarray, true: np.ndarray, at: float) -> float:
    """The share of rows with an earlier one at that cosine for which one is reported, up to rounding."""
    return float((cosine[true >= at] >= at - ROUNDING).mean())


@pytest.mark.parametrize("n", [4000, 9000], ids=["all pairs", "hash keys"])
@pytest.mark.parametrize("cone", [0.0, 0.5])
def test_nearly_all_that_brute_force_finds_is_found(n: int, cone: float):
    rows = images(n, cone=cone)
    index, cosine = best_earlier(rows, floor=FLOOR)
    _, true = by_brute_force(rows, FLOOR)
    assert (true > 0).sum() > n // 20
    assert_sound(rows, index, cosine, FLOOR)
    assert recall(cosine, true, FLOOR) >= 0.99
    assert recall(cosine, true, 0.95) >= 0.995


@pytest.mark.parametrize("d", [2, 7, 64, 100, 130, 768])
def test_rows_of_any_width_are_compared(d: int):
    rows = images(5000, d, seed=d)
    index, cosine = best_earlier(rows, floor=0.98)
    _, true = by_brute_force(rows, 0.98)
    assert_sound(rows, index, cosine, 0.98)
    assert recall(cosine, true, 0.98) >= 0.99


def test_pairs_right_at_the_floor_are_found_too():
    rng = np.random.default_rng(5)
    ones = normal(rng, 6000, 512)
    rows = np.concatenate([ones, beside(rng, ones, np.full(6000, 0.902, np.float32))]).astype(np.float16)
    index, _ = best_earlier(rows, floor=FLOOR)
    assert (index[6000:] == np.arange(6000)).mean() >= 0.98


@pytest.mark.parametrize("n", [3000, 9000], ids=["all pairs", "hash keys"])
def test_of_equal_rows_the_first_is_the_nearest(n: int):
    rng = np.random.default_rng(1)
    rows = normal(rng, n, 256).astype(np.float16)
    copies = np.sort(rng.choice(n, 200, replace=False))
    rows[copies] = rows[copies[0]]
    index, cosine = best_earlier(rows, floor=FLOOR)
    assert (index[copies[1:]] == copies[0]).all()
    np.testing.assert_allclose(cosine[copies[1:]], 1, atol=ROUNDING)
    assert index[copies[0]] == -1


def test_the_original_is_found_among_thousands_of_copies():
    rows = images(8000, viral=3000)
    index, cosine = best_earlier(rows, floor=FLOOR)
    _, true = by_brute_force(rows, FLOOR)
    assert_sound(rows, index, cosine, FLOOR)
    assert recall(cosine, true, FLOOR) >= 0.995
    assert (np.abs(cosine - true)[true > 0] < ROUNDING).mean() >= 0.99


def test_rows_of_a_mapped_file_and_of_no_contiguous_array_are_the_same_rows(tmp_path: Path):
    rows = images(5000, 64)
    np.save(tmp_path / "rows.npy", rows)
    index, cosine = best_earlier(rows, floor=FLOOR)
    for same in (np.load(tmp_path / "rows.npy", mmap_mode="r"), np.asfortranarray(rows)):
        again = best_earlier(same, floor=FLOOR)
        assert (again[0] == index).all()
        assert (again[1] == cosine).all()


def test_rows_that_are_all_one_image_are_found_though_they_are_their_own_mean():
    rng = np.random.default_rng(2)
    rows = beside(rng, np.repeat(normal(rng, 1, 512), 6000, axis=0), np.full(6000, 0.97, np.float32)).astype(np.float16)
    index, cosine = best_earlier(rows, floor=FLOOR)
    assert_sound(rows, index, cosine, FLOOR)
    assert (index[1:] >= 0).all()


def test_any_number_of_threads_gives_the_same_answer():
    rows = images(20_000, 64, viral=3000)
    index, cosine = best_earlier(rows, floor=FLOOR)
    for threads in (2, 5):
        again = best_earlier(rows, floor=FLOOR, threads=threads)
        assert (again[0] == index).all()
        assert again[1].tobytes() == cosine.tobytes()


@pytest.mark.parametrize("floor", [0.5, FLOOR, 1.0])
def test_rows_that_are_all_equal_have_the_first_for_nearest(floor: float):
    index, cosine = best_earlier(np.full((5000, 48), 0.125, np.float16), floor=floor)
    assert index.tolist() == [-1] + [0] * 4999
    np.testing.assert_allclose(cosine[1:], 1, atol=ROUNDING)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_as_few_rows_as_there_can_be(n: int):
    rows = np.ones((n, 8), np.float16)
    index, cosine = best_earlier(rows, floor=FLOOR)
    assert index.tolist() == [-1, 0][:n]
    assert cosine.tolist() == [0, 1][:n]
    assert index.dtype == np.int64
    assert cosine.dtype == np.float32


@pytest.mark.parametrize("n", [40, 6000], ids=["all pairs", "hash keys"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 0])
def test_a_row_without_direction_is_nobodys_duplicate(n: int, value: float):
    rows = images(n, 64)
    rows[1::7] = value
    rows[2::7, 5] = value if value else rows[2::7, 5]
    index, cosine = best_earlier(rows, floor=FLOOR)
    without = np.flatnonzero(~np.isfinite(rows).all(axis=1) | ~rows.any(axis=1))
    assert (index[without] == -1).all()
    assert not np.isin(index, without).any()
    assert np.isfinite(cosine).all()


def test_only_rows_without_direction():
    index, cosine = best_earlier(np.full((5000, 16), np.nan, np.float16), floor=FLOOR)
    assert (index == -1).all()
    assert (cosine == 0).all()


def test_the_length_of_a_row_does_not_matter():
    rng = np.random.default_rng(3)
    rows = images(5000)
    scaled = rows * np.array([0.25, 4, 64], np.float16)[rng.integers(0, 3, len(rows)), None]
    index, cosine = best_earlier(rows, floor=FLOOR)
    index_scaled, cosine_scaled = best_earlier(scaled, floor=FLOOR)
    both = (index >= 0) & (index_scaled >= 0)
    assert ((index >= 0) == (index_scaled >= 0)).mean() > 0.999
    np.testing.assert_allclose(cosine[both], cosine_scaled[both], atol=1e-3)


@pytest.mark.parametrize("rows", [np.ones((3, 4), np.float32), np.ones(4, np.float16)])
def test_rows_of_another_type_are_refused(rows: np.ndarray):
    with pytest.raises(ValueError, match="float16"):
        best_earlier(rows, floor=FLOOR)


@pytest.mark.parametrize("floor", [0, -0.5, 1.01, float("nan")])
def test_a_floor_that_is_no_cosine_is_refused(floor: float):
    with pytest.raises(ValueError, match="floor"):
        best_earlier(np.ones((3, 4), np.float16), floor=floor)


def test_a_floor_of_one_finds_copies_only():
    rows = images(6000)
    rows[3000:3100] = rows[:100]
    index, cosine = best_earlier(rows, floor=1.0)
    assert (cosine[index >= 0] > 1 - 3e-6).all()
    assert (cosine_of(rows, np.flatnonzero(index >= 0), index[index >= 0]) > 1 - 1e-6).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 60), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_small_pools_agree_with_brute_force(n: int, d: int, seed: int):
    rng = np.random.default_rng(seed)
    rows = normal(rng, n, d)
    rows = np.concatenate([rows, rows[rng.integers(0, n, n)]]).astype(np.float16)
    index, cosine = best_earlier(rows, floor=0.95)
    _, true = by_brute_force(rows, 0.95)
    assert_sound(rows, index, cosine, 0.95)
    np.testing.assert_allclose(cosine[n:], true[n:], atol=1e-3)


def test_clusters_find_what_one_array_finds():
    rows = images(8000, 128, viral=500)
    _, true = by_brute_force(rows, FLOOR)
    index, cosine = nearest_earlier(rows, floor=FLOOR, seed=0, clusters=12)
    assert_sound(rows, index, cosine, FLOOR)
    assert recall(cosine, true, 0.95) >= 0.99
    again = nearest_earlier(rows, floor=FLOOR, seed=0, clusters=12)
    assert (again[0] == index).all()
    assert (again[1] == cosine).all()


def test_merging_keeps_the_higher_cosine_then_the_lower_number():
    index, cosine = np.array([-1, 0, -1, 1, 2]), np.array([0, 0.95, 0, 0.92, 0.97], np.float32)
    members = np.array([0, 1, 2, 3, 4])
    keep_better(index, cosine, members, np.array([-1, -1, 0, 0, 0]), np.array([0, 0, 0.91, 0.92, 0.96], np.float32))
    assert index.tolist() == [-1, 0, 0, 0, 2]
    assert cosine.tolist() == np.array([0, 0.95, 0.91, 0.92, 0.97], np.float32).tolist()


def test_clusters_are_made_only_where_one_array_is_too_large():
    assert plan(0, 512) == plan(1_000_000, 512) == 1
    assert plan(100_000_000, 512) == 191
    assert plan(100_000_000, 512, cluster_bytes=1 << 29) == plan(100_000_000, 1024) == 382
    assert plan(2_000_000, 512, device="cuda") == 1
    assert plan(100_000_000, 512, device="cuda") == 2000


def test_a_sketch_differs_by_the_angle():
    rng = np.random.default_rng(4)
    for d in (64, 130, 512, 768):
        ones = normal(rng, 4000, d)
        for cosine in (0.95, 0.9, 0.5, 0.0):
            others = beside(rng, ones, np.full(4000, cosine, np.float32))
            apart = np.bitwise_count(sketch(ones.astype(np.float16)) ^ sketch(others.astype(np.float16))).sum(axis=1)
            assert abs(apart.mean() - 256 * np.arccos(cosine) / np.pi) < 2.5
            if cosine == FLOOR:
                assert (apart <= bits_apart(FLOOR, np.ones(4000), bits=256)).mean() > 0.995


def test_keys_grow_as_the_floor_falls_or_the_rows_get_short():
    assert keys_needed(0.95, 1) < keys_needed(0.9, 1) < keys_needed(0.9, 0.5) <= 64


def test_identical_rows_reach_a_floor_of_1():
    rows = np.repeat(np.random.default_rng(4).normal(size=(300, 96)).astype(np.float16), 3, axis=0)
    index, cosine = best_earlier(rows, floor=1.0)
    first = np.arange(900) % 3 == 0
    assert (index[first] == -1).all()
    assert (index[~first] // 3 == np.arange(900)[~first] // 3).all()
    assert (cosine[~first] > 1 - 1e-5).all()
