"""The benchmark of dedup: its pools, its truth and its comparisons are what they say. Nothing is timed here."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench import dedup, dedup_figures, dedup_gpu, dedup_pool, dedup_semdedup, dedup_sides, dedup_truth
from bench.dedup_sides import OURS, PEER, TIGHT, Place
from bench.dedup_truth import Truth
from schemas.scores import SCORES

ROWS = 3000


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dedup_pool.Pool]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dedup_pool, "CACHE", tmp_path_factory.mktemp("cache"))
        patch.setattr(dedup_pool, "_ROWS_PER_FILE", 1000)
        yield dedup_pool.pool(ROWS)


@pytest.fixture(scope="module")
def drawn() -> dedup_pool.Made:
    return dedup_pool.embeddings(ROWS)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows.astype(np.float64) / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)


def uids(count: int) -> np.ndarray:
    return np.array([f"{number:032x}" for number in range(count)], "S32")


def test_a_tenth_of_a_pool_are_copies_at_the_planted_cosines(drawn: dedup_pool.Made):
    copies = np.flatnonzero(drawn.source != np.arange(ROWS))
    rows = unit(drawn.images)
    cosines = (rows[copies] * rows[drawn.source[copies]]).sum(axis=1)
    assert len(copies) == ROWS / 10
    assert cosines == pytest.approx(drawn.level[copies], abs=1e-3)
    assert set(np.unique(drawn.level[copies])) == set(dedup_pool.LEVELS)
    assert (drawn.level[drawn.source] == 1).all(), "an original is no copy"
    groups = np.sort(np.unique(drawn.source[copies], return_counts=True)[1])
    assert groups[-1] == ROWS / 100
    assert groups[-2] < dedup_pool.GROUP_MOST


def test_the_background_is_neither_spread_evenly_nor_full_of_copies(drawn: dedup_pool.Made):
    others = np.setdiff1d(np.arange(ROWS), drawn.source[drawn.source != np.arange(ROWS)])
    rows = unit(drawn.images[others[drawn.source[others] == others]])
    cosines = (rows @ rows.T)[np.triu_indices(len(rows), 1)]
    assert 0.3 < np.median(cosines) < 0.42
    assert (cosines > 0.6).mean() > 0.01
    assert (cosines > 0.95).mean() < 1e-5


def test_a_pool_lies_in_datacomp_s_layout_and_is_always_the_same(made: dedup_pool.Pool, drawn: dedup_pool.Made):
    files = list(made.metadata.glob("*.parquet"))
    assert len(files) == 3
    assert pq.read_schema(files[0]).names == SCORES.names[:9]
    kept = {}
    for path in files:
        with np.load(path.with_suffix(".npz")) as arrays:
            assert arrays["b32_img"].dtype == np.float16
            kept.update(zip(pq.read_table(path)["url"].to_pylist(), arrays["b32_img"], strict=True))
    assert len(kept) == ROWS
    assert all(np.array_equal(kept[f"https://img-{row % 4999}.example/{row}.jpg"], drawn.images[row]) for row in range(ROWS))


def test_truth_is_the_highest_cosine_with_any_row_of_a_higher_score(made: dedup_pool.Pool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dedup_truth, "_COLUMNS", 512)
    monkeypatch.setattr(dedup_truth, "_ROWS", 300)
    tables = [pq.read_table(path) for path in made.metadata.glob("*.parquet")]
    scores = {row["uid"].encode(): row["clip_b32_similarity_score"] for table in tables for row in table.to_pylist()}
    content = dedup_pool.content(made)
    assert content.uids.tolist() == sorted(scores, key=lambda uid: (-scores[uid], uid))
    rows = unit(content.images)
    expected = np.tril(rows @ rows.T, -1).max(axis=1)
    whole = dedup_truth.truth(made, ROWS)
    assert whole.uids.tolist() == content.uids.tolist()
    assert whole.cosines == pytest.approx(np.maximum(expected, 0), abs=1e-6)
    sample = dedup_truth.truth(made, 700)
    at = [content.uids.tolist().index(uid) for uid in sample.uids.tolist()]
    assert len(set(at)) == 700
    assert sample.cosines == pytest.approx(whole.cosines[at], abs=1e-6)


def test_recall_counts_what_is_told_to_be_a_copy_within_the_tolerance_and_what_is_not_one():
    known = Truth(uids(8)[:6], np.array([0, 1, 0.955, 0.951, 0.949, 0.5], np.float32))
    told = np.array([np.nan, 1, 0.9485, 0.94, 0.951, 0.99, 0, 0], np.float32)
    shuffled = np.random.default_rng(0).permutation(8)
    found = dedup_truth.recalls(known, uids(8)[shuffled], told[shuffled])
    assert found["recall_95"] == pytest.approx(2 / 3)
    assert found["recall_near_1"] == 1
    assert found["recall_near_.95"] == 0.5
    assert "recall_near_.97" not in found
    assert found["wrong_95"] == 1
    assert found["rows_asked"] == 3


@pytest.mark.parametrize("rows", [[0, 1], [0, 1, 2, 2], []])
def test_an_answer_that_lacks_a_row_or_has_it_twice_is_refused(rows: list[int]):
    with pytest.raises(SystemExit, match=f"an answer of {len(rows)} rows"):
        dedup_truth.recalls(Truth(uids(3), np.ones(3, np.float32)), uids(3)[rows], np.ones(len(rows), np.float32))


def test_semdedup_with_one_cluster_finds_all_and_with_many_nothing_that_is_not_there(
    drawn: dedup_pool.Made, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dedup_semdedup, "_ELEMENTS", 700 * ROWS)  # five slabs
    rows = unit(drawn.images).astype(np.float32)
    exact = np.maximum(np.tril(rows @ rows.T, -1).max(axis=1), 0)
    assert dedup_semdedup.dedup(rows, 1, 2) == pytest.approx(exact, abs=1e-5)
    clustered = dedup_semdedup.dedup(rows, 40, 5)
    assert (clustered <= exact + 1e-5).all()
    assert 0.8 < (clustered[exact >= 0.95] >= 0.948).mean() <= 1


def test_semdedup_reads_rows_in_the_order_that_decides_who_survives(made: dedup_pool.Pool):
    found, images = dedup_semdedup.read(made.metadata)
    content = dedup_pool.content(made)
    assert [uid.encode() for uid in found.to_pylist()] == content.uids.tolist()
    assert np.array_equal(images, content.images.astype(np.float32))


def run(cpu_s: float, rows: int = 1000, **more: float) -> dict[str, float]:
    return {"rows": rows, "cpu_s": cpu_s, "wall_s": cpu_s / 2, "peak_pss_mb": 500, "peak_rss_mb": 400, "wrong_95": 0, **more}


def test_semdedup_is_compared_with_its_cheapest_setting_that_finds_about_as_much_as_its_best():
    theirs = {"quick": (9, 0.90), "good": (12, 0.94), "slow": (40, 0.96)}
    answers = {f"{PEER}, {name}": [run(cpu_s, recall_95=recall)] for name, (cpu_s, recall) in theirs.items()}
    answers |= {OURS: [run(5, recall_95=0.99)], TIGHT: [run(8, recall_95=0.98)]}
    assert dedup_figures.pick(answers) == f"{PEER}, good"
    figures = {figure.key: figure.value for figure in dedup_figures.figures_of({"start": answers, "100k": answers}, 4.0)}
    assert figures["x_semdedup_100k"] == 12 / 5
    assert figures["x_semdedup_fastest_100k"] == 9 / 5
    assert figures["their_recall_95_100k"] == 0.94
    assert figures["out_of_core_x_100k"] == 8 / 5


def test_growth_is_the_slope_of_what_is_left_after_starting():
    answers = {f"{rows}": {OURS: [run(2 + 1e-4 * rows**1.2, rows)]} for rows in (1000, 2000, 4000, 10_000)}
    answers["start"] = {OURS: [run(2)]}
    figures = {figure.key: figure.value for figure in dedup_figures.figures_of(answers, 4.0)}
    assert figures["growth_exponent"] == pytest.approx(1.2)
    assert figures["growth_exponent_whole"] < 1.2
    assert figures["peak_of_budget"] == 0.125


def test_small_pools_go_through_both_sides_and_ours_finds_the_copies(
    made: dedup_pool.Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(dedup, "pool", {ROWS: made}.__getitem__)
    monkeypatch.setattr(dedup_sides, "PER_ROOT", (0.5,))
    place = Place(scratch=tmp_path, cores={max(os.sched_getaffinity(0))})
    answers = dedup.measure({"small": dedup.Load(rows=ROWS, rounds=1, sampled=ROWS)}, 1.0, place)
    figures = {figure.key: figure.value for figure in dedup_figures.figures_of(answers, 1.0)}
    assert figures["recall_95_small"] > 0.99
    assert figures["their_recall_95_small"] > 0.8
    assert [row["wrong"] for row in dedup_figures.rows_of(answers)] == ["0", "0"]
    assert [row["side"] for row in dedup_figures.rows_of(answers)] == [OURS, "SemDeDup, 27 clusters"]


def test_the_device_s_part_runs_without_a_gpu_and_adds_the_keys_that_are_null_without_it(made: dedup_pool.Pool, tmp_path: Path):
    row = dedup_gpu.measure(made, "cpu", Place(scratch=tmp_path, cores={max(os.sched_getaffinity(0))}))
    assert row["recall"] > 0.99
    stands = {"bench": "dedup", "recall_95_100k": 1.0, **dedup_gpu.nothing(), "meaning": {"recall_95_100k": "stands"}}
    found = dedup_gpu.added(stands, [row])
    assert set(dedup_gpu.nothing()) <= set(found["meaning"])
    assert found["gpu_10m_recall_95"] == pytest.approx(row["recall"], rel=1e-3)
    assert found["recall_95_100k"] == 1.0


def test_all_pairs_of_ten_million_rows_are_fifty_thousand_tera_operations():
    assert dedup_gpu.all_pairs_tflop(10_000_000) == pytest.approx(51_200, rel=1e-3)
