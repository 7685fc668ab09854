"""NormSim against the norm computed cosine by cosine in float64."""

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters import norm_sim
from filters.embeddings import as_column
from filters.norm_sim import NormSim2, NormSimInf, moments_of, read_target
from filters.registry import Context, build, find, parameters_of
from schemas.errors import UsageError, UserError

CONTEXT = Context(columns=("uid", "b32_img"))


def vectors(rows: int, seed: int, dimensions: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, dimensions)).astype(np.float16)


def batch_of(rows: np.ndarray) -> pa.RecordBatch:
    return pa.record_batch({"b32_img": as_column(rows)})


def cosine_by_cosine(rows: np.ndarray, target: np.ndarray, p: float) -> list[float]:
    unit = [[row / np.linalg.norm(row) for row in part.astype(np.float64)] for part in (rows, target)]
    cosines = [[abs(float(row @ other)) for other in unit[1]] for row in unit[0]]
    return [max(row) if p == math.inf else sum(one**p for one in row) ** (1 / p) for row in cosines]


@given(rows=st.integers(1, 20), targets=st.integers(1, 30), seed=st.integers(0, 5), block=st.integers(1, 40))
def test_it_is_the_norm_of_the_cosines_to_the_target(rows: int, targets: int, seed: int, block: int):
    embedded, target = vectors(rows, seed), vectors(targets, seed + 100)
    whole, norm_sim._BLOCK = norm_sim._BLOCK, block
    try:
        two = NormSim2("b32_img", targets, moments_of(target)).measure(batch_of(embedded))
        nearest = NormSimInf("b32_img", targets, target).measure(batch_of(embedded))
    finally:
        norm_sim._BLOCK = whole
    assert two.dtype == nearest.dtype == np.float32
    np.testing.assert_allclose(two, cosine_by_cosine(embedded, target, 2), rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(nearest, cosine_by_cosine(embedded, target, math.inf), rtol=2e-5)


@pytest.mark.parametrize("p", [2, "inf"])
def test_rows_without_an_embedding_have_no_number(tmp_path: Path, p: object):
    np.save(tmp_path / "target.npy", vectors(9, 1))
    rows = vectors(6, 0).astype(np.float32)
    rows[1], rows[2], rows[3] = 0, math.nan, math.inf
    rule = build("norm_sim", {"arch": "b32", "target": str(tmp_path / "target.npy"), "p": p, "threshold": 0.0}, CONTEXT)
    assert rule.keep(batch_of(rows)).to_pylist() == [True, False, False, False, True, True]
    assert rule.keep(batch_of(rows[:0])).to_pylist() == []


def test_a_fraction_keeps_the_images_nearest_to_the_target(tmp_path: Path):
    rows, target = vectors(40, 0), vectors(5, 1)
    np.savez(tmp_path / "target.npz", train=target, test=target[:1])
    values = {"arch": "b32", "target": str(tmp_path / "target.npz"), "key": "train", "fraction": 0.2}
    chosen = build("norm_sim", values, CONTEXT).resolve(lambda columns: [batch_of(rows)])
    best = np.argsort(cosine_by_cosine(rows, target, math.inf))[::-1][:9]
    assert np.flatnonzero(chosen.keep(batch_of(rows)).to_numpy(zero_copy_only=False)).tolist() == sorted(best)


def test_the_number_can_be_kept_as_a_column(tmp_path: Path):
    np.savez(tmp_path / "one.npz", vectors(5, 1))
    entry = find("norm_sim")
    assert entry.measure is not None
    measure = entry.measure(parameters_of(entry, {"arch": "b32", "target": str(tmp_path / "one.npz"), "p": 2}), CONTEXT)
    assert measure == NormSim2("b32_img", 5, np.empty(0))
    assert measure.measure(batch_of(vectors(3, 0))).shape == (3,)


def saved(path: Path, content: object) -> str:
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        with path.open("wb") as file:
            np.savez(file, **content)
    else:
        with path.open("wb") as file:
            np.save(file, content, allow_pickle=True)
    return str(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a .npy or .npz"),
        (b"PK\x03\x04 cut short", "not a .npy or .npz"),
        (b"text", "not a .npy or .npz"),
        (np.array([{}, {}], object), "not a .npy or .npz"),
        (np.zeros(5, np.float32), r"shape \(5,\)"),
        (np.zeros((0, 5), np.float32), r"shape \(0, 5\)"),
        (np.ones((2, 5), np.int64), "dtype int64"),
        (np.zeros((2, 5), np.float32), "2 of 2 rows are zero or not finite"),
        ({"a": np.ones((2, 5)), "b": np.ones((2, 5))}, "give key, the name of one of its arrays: a, b"),
        ({}, "give key, the name of one of its arrays: it has none"),
    ],
)
def test_a_target_that_is_none_is_told_by_its_path(tmp_path: Path, content: object, message: str):
    path = saved(tmp_path / "target", content)
    with pytest.raises(UserError, match=f"target {path}: .*{message}"):
        build("norm_sim", {"arch": "b32", "target": path, "fraction": 0.3}, CONTEXT)


def test_a_target_of_another_model_is_told(tmp_path: Path):
    rule = build("norm_sim", {"arch": "b32", "target": saved(tmp_path / "t", vectors(3, 0, 5)), "threshold": 0.3}, CONTEXT)
    with pytest.raises(UserError, match="b32_img has 12 dimensions, the target 5"):
        rule.keep(batch_of(vectors(3, 0)))


@pytest.mark.parametrize("p", [1, 3.0, "two", True])
def test_only_two_norms_are_known(tmp_path: Path, p: object):
    with pytest.raises(UsageError, match="must be 2 or inf"):
        build("norm_sim", {"arch": "b32", "target": saved(tmp_path / "t", vectors(3, 0)), "p": p, "threshold": 0.3}, CONTEXT)


def test_an_npz_that_would_not_fit_memory_is_refused(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("filters.norm_sim._MOST_ZIPPED_BYTES", 100)
    np.savez(tmp_path / "t.npz", x=np.ones((9, 8), np.float32))
    with pytest.raises(UserError, match=r"save it as a \.npy"):
        read_target(str(tmp_path / "t.npz"), None)
