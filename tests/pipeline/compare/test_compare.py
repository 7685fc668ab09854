"""webpairs compare: what subsets share, counted in distinct uids, whatever their weights."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli import main
from pipeline.compare.overlap import Members, Sizes, overlaps
from schemas.subsets import SUBSET_DTYPE, uids_to_array

# Halves of few values, so that uids share their high halves, as those of no md5 may.
ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=30)


def array(rows: list[tuple[int, int]]) -> np.ndarray:
    return np.array(rows, dtype=SUBSET_DTYPE)


@given(ROWS, ROWS)
def test_membership_is_that_of_a_set(subset: list, asked: list):
    assert Members(np.sort(array(subset))).among(array(asked)).tolist() == [uid in set(subset) for uid in asked]


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_overlaps_are_those_of_sets(subsets: list[list]):
    found = overlaps([Sizes.of(str(i), array(rows)) for i, rows in enumerate(subsets)])
    assert found.tolist() == [[len(set(a) & set(b)) for b in subsets] for a in subsets]


@given(ROWS)
def test_weights_are_counted_apart_from_distinct_uids(rows: list):
    sizes = Sizes.of("x", array(rows))
    assert (sizes.rows, len(sizes.distinct)) == (len(rows), len(set(rows)))
    assert sizes.most_repeats == max((rows.count(row) for row in rows), default=0)


def test_the_command_prints_sizes_and_shares(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    one, other = tmp_path / "one.npy", tmp_path / "other.npy"
    np.save(one, uids_to_array([f"{i:032x}" for i in range(10)]))
    np.save(other, uids_to_array([f"{i:032x}" for i in [8, 9, 9, 12]]))
    assert main(["compare", str(one), str(other), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["subsets"][1] == {"name": "other", "rows": 4, "distinct": 3, "most_repeats": 2}
    assert found["pairs"] == [
        {"a": "one", "b": "other", "both": 2, "only_a": 8, "only_b": 1, "union": 11, "jaccard": pytest.approx(2 / 11)}
    ]
    assert main(["compare", str(one), str(other)]) == 0
    assert "20.0%" in capsys.readouterr().out


def test_one_file_or_something_else_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    np.save(tmp_path / "a.npy", np.arange(3))
    assert main(["compare", str(tmp_path / "a.npy")]) == 2
    assert "two subset files or more" in capsys.readouterr().err
    assert main(["compare", str(tmp_path / "a.npy"), str(tmp_path / "a.npy")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_uids_that_share_their_high_half_are_found_quickly():
    table = np.zeros(30_000, SUBSET_DTYPE)
    table["f1"] = np.arange(len(table)) * 2
    asked = np.zeros(30_000, SUBSET_DTYPE)
    asked["f1"] = np.arange(len(asked))
    assert np.array_equal(Members(table).among(asked), np.arange(len(asked)) % 2 == 0)
