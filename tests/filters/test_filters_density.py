"""Density-based pruning against the definition, cluster by cluster, and a quadratic programme solved by another way."""

import hashlib
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from filters import density
from filters.density import Density, distance_to_nearest, quotas, read_centroids
from filters.registry import Context, build
from filters.uids.uid_hash import uid_hashes
from schemas.errors import UsageError, UserError

CONTEXT = Context(columns=("uid", "cluster", "cluster_cos"))


def uid(number: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()


def centroids_of(clusters: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(clusters, 6)).astype(np.float32)


def pool_of(rows: int, clusters: int, seed: int = 0) -> pa.RecordBatch:
    """Clusters of different sizes; cosines in steps, so that there are ties; some rows have no cluster."""
    rng = np.random.default_rng(seed)
    numbers = np.minimum(rng.geometric(0.3, rows) - 1, clusters - 1)
    cosines = np.round(rng.uniform(0.2, 1, rows), 1).astype(np.float32)
    missing = rng.random(rows) < 0.1
    return pa.record_batch(
        {
            "uid": pa.array([uid(i) for i in range(rows)], pa.string()),
            "cluster": pa.array(numbers, pa.int32(), mask=missing),
            "cluster_cos": pa.array(cosines, pa.float32(), mask=missing),
        }
    )


def kept_by(asked: Density, batches: list[pa.RecordBatch]) -> list[bool]:
    chosen = asked.resolve(lambda columns: batches)
    return [one for batch in batches for one in chosen.keep(batch).to_pylist()]


def asked(fraction: float, centroids: np.ndarray, hardest: bool = True, neighbours: int = 2, temperature: float = 0.1) -> Density:
    return Density(fraction, neighbours, temperature, hardest, centroids)


def cosine_distance(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one.astype(np.float64), other.astype(np.float64)
    return 1 - one @ other / np.linalg.norm(one) / np.linalg.norm(other)


def cluster_by_cluster(rule: Density, whole: pa.RecordBatch) -> list[bool]:
    rows, hashes, members = whole.to_pylist(), uid_hashes(whole).tolist(), {}
    for place, row in enumerate(rows):
        if row["cluster"] is not None:
            members.setdefault(row["cluster"], []).append(place)
    complexity = {}
    for cluster, places in members.items():
        others = [cosine_distance(rule.centroids[cluster], c) for i, c in enumerate(rule.centroids) if i != cluster]
        inter = np.mean(sorted(others)[: rule.neighbours]) if others else 0
        complexity[cluster] = inter * np.mean([1 - rows[place]["cluster_cos"] for place in places])
    total = sum(math.exp(one / rule.temperature) for one in complexity.values())
    clusters = sorted(members)
    shares = np.array([math.exp(complexity[cluster] / rule.temperature) / total for cluster in clusters])
    sizes = np.array([len(members[cluster]) for cluster in clusters])
    keep = [False] * len(rows)
    numbers = quotas(shares, sizes, min(int(len(rows) * rule.fraction), int(sizes.sum())))
    for cluster, number in zip(clusters, numbers, strict=True):
        sign = 1 if rule.hardest else -1
        for place in sorted(members[cluster], key=lambda i: (sign * rows[i]["cluster_cos"], hashes[i]))[:number]:
            keep[place] = True
    return keep


@given(
    rows=st.integers(1, 80),
    clusters=st.integers(1, 12),
    fraction=st.floats(0, 1),
    hardest=st.booleans(),
    neighbours=st.integers(1, 15),
    cut=st.integers(1, 81),
)
def test_it_keeps_what_the_definition_says(
    *, rows: int, clusters: int, fraction: float, hardest: bool, neighbours: int, cut: int
):
    whole = pool_of(rows, clusters)
    rule = asked(fraction, centroids_of(clusters), hardest, neighbours)
    kept = kept_by(rule, [whole.slice(at, cut) for at in range(0, rows, cut)])
    assert kept == cluster_by_cluster(rule, whole)
    assert sum(kept) == min(int(rows * fraction), rows - whole["cluster"].null_count)


def test_the_order_of_rows_does_not_matter():
    whole = pool_of(60, 5)
    rule = asked(0.4, centroids_of(5))
    assert kept_by(rule, [whole.take(list(range(59, -1, -1)))])[::-1] == kept_by(rule, [whole])


SHARES = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12)), min_size=1, max_size=10)


@given(SHARES, st.floats(0, 1))
def test_quotas_sum_to_the_whole_within_their_bounds(clusters: list, part: float):
    weights, sizes = np.array([one[0] for one in clusters]), np.array([one[1] for one in clusters])
    weights = np.where(sizes > 0, weights + 1e-3, 0)
    rows = int(part * sizes.sum())
    found = quotas(weights / max(weights.sum(), 1e-9), sizes, rows)
    assert found.sum() == rows
    assert (found <= sizes).all()
    assert rows < (sizes > 0).sum() or (found >= np.minimum(sizes, 1)).all()


@given(st.integers(0, 200))
def test_quotas_are_the_nearest_to_the_shares_but_for_rounding(seed: int):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 40, 5)
    shares = rng.dirichlet(np.ones(5) * 0.5)
    rows = int(rng.integers(5, sizes.sum() + 1))
    solved = minimize(
        lambda x: ((x - shares * rows) ** 2).sum() / rows,
        x0=sizes * rows / sizes.sum(),
        jac=lambda x: 2 * (x - shares * rows) / rows,
        bounds=[(1, size) for size in sizes],
        constraints={"type": "eq", "fun": lambda x: x.sum() - rows, "jac": lambda x: np.ones(5)},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    ).x
    assert np.abs(quotas(shares, sizes, rows) - solved).max() < 1.02


@given(st.integers(1, 30), st.integers(1, 40), st.integers(1, 2000))
def test_the_distance_to_the_nearest_centroids_is_their_mean(clusters: int, neighbours: int, cells: int):
    centroids = centroids_of(clusters, 3)
    whole, density._BLOCK_CELLS = density._BLOCK_CELLS, cells
    try:
        found = distance_to_nearest(centroids, neighbours)
    finally:
        density._BLOCK_CELLS = whole
    expected = [
        np.mean(sorted(cosine_distance(one, other) for j, other in enumerate(centroids) if j != i)[:neighbours] or [0])
        for i, one in enumerate(centroids)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_diverse_cluster_keeps_a_greater_share_than_a_dense_one():
    rows = 400
    cosines = np.where(np.arange(rows) < 200, 0.99, 0.3).astype(np.float32)
    names = pa.array([uid(i) for i in range(rows)])
    clusters = pa.array((np.arange(rows) >= 200).astype(np.int32))
    whole = pa.record_batch({"uid": names, "cluster": clusters, "cluster_cos": pa.array(cosines)})
    kept = np.array(kept_by(asked(0.25, np.eye(2, dtype=np.float32)), [whole]))
    assert kept.sum() == 100
    assert kept[200:].sum() > 10 * kept[:200].sum() > 0


def test_rows_without_a_cluster_or_a_finite_cosine_are_dropped():
    whole = pa.record_batch(
        {
            "uid": pa.array([uid(i) for i in range(4)]),
            "cluster": pa.array([0, None, 0, 0], pa.int32()),
            "cluster_cos": pa.array([0.5, 0.5, None, math.nan], pa.float32()),
        }
    )
    assert kept_by(asked(1.0, centroids_of(1)), [whole]) == [True, False, False, False]


def test_a_pool_without_rows_keeps_nothing():
    chosen = asked(0.5, centroids_of(3)).resolve(lambda columns: [])
    assert chosen.keep(pool_of(5, 3)).to_pylist() == [False] * 5
    assert chosen.keep(pool_of(5, 3).slice(0, 0)).to_pylist() == []


def test_centroids_of_another_dedup_are_told():
    with pytest.raises(UserError, match="density: cluster 4, but there are 2 centroids"):
        kept_by(asked(0.5, centroids_of(2)), [pool_of(200, 5).slice(0, 200).filter(pa.array([i > 100 for i in range(200)]))])


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"fraction": 0.5, "centroids": "/nowhere.npy"}, UserError, "centroids /nowhere.npy: not a .npy"),
        ({"fraction": 1.5}, UsageError, "must be from 0 to 1"),
        ({}, UsageError, "give fraction"),
        ({"fraction": 0.5, "neighbours": 0}, UsageError, "neighbours 0"),
        ({"fraction": 0.5, "temperature": 0.0}, UsageError, "temperature 0.0"),
    ],
)
def test_what_cannot_be_worked_with_is_refused(tmp_path: Path, values: dict, error: type, message: str):
    np.save(tmp_path / "centroids.npy", centroids_of(3))
    with pytest.raises(error, match=message):
        build("density", {"centroids": str(tmp_path / "centroids.npy"), **values}, CONTEXT)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3, np.float32), "not an array of"),
        (np.ones((3, 2), np.int32), "not an array of"),
        (np.zeros((3, 2), np.float32), "row 0 is zero or not finite"),
        (np.array([None]), "not a .npy"),
    ],
)
def test_centroids_that_are_none_are_told_by_their_path(tmp_path: Path, array: np.ndarray, message: str):
    path = tmp_path / "centroids.npy"
    np.save(path, array)
    with pytest.raises(UserError, match=f"{path}: {message}"):
        build("density", {"fraction": 0.5, "centroids": str(path)}, CONTEXT)


def test_without_the_columns_of_dedup_the_error_says_how_to_get_them(tmp_path: Path):
    with pytest.raises(UserError, match=r"no column cluster, cluster_cos; run `webpairs dedup`"):
        build("density", {"fraction": 0.5, "centroids": str(tmp_path)}, Context(columns=("uid",)))


def test_a_header_that_claims_more_than_the_file_has_is_refused(tmp_path: Path):
    np.save(tmp_path / "c.npy", np.ones((2, 8), np.float32))
    content = (tmp_path / "c.npy").read_bytes().replace(b"(2, 8), }          ", b"(9999999999999, 8)}")
    (tmp_path / "c.npy").write_bytes(content)
    with pytest.raises(UserError, match=r"not a \.npy of centroids"):
        read_centroids(str(tmp_path / "c.npy"))
