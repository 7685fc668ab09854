"""The arms of a budgeted ranking: which controls are made, of what, and that they are the same each time."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from pipeline.rank.budget.controls import make_arms
from pipeline.subset_file import read_subset, write_subset
from schemas.errors import UserError
from schemas.subsets import uids_to_array

POOL = uids_to_array([hashlib.md5(str(number).encode()).hexdigest() for number in range(1000)])


def write(folder, name, rows):
    path = str(folder / f"{name}.npy")
    write_subset(path, rows)
    return path


def arms_of(tmp_path, subsets, pool=POOL, into="_subsets"):
    paths = [write(tmp_path, name, rows) for name, rows in subsets.items()]
    return {arm.name: arm for arm in make_arms(paths, pool, str(tmp_path / into))}


def contents(folder: Path):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.npy"))}


def test_no_filter_is_the_whole_pool_and_each_filter_has_a_random_subset_of_its_size(tmp_path):
    arms = arms_of(tmp_path, {"a": POOL[:400], "b": POOL[100:300]})
    assert [(arm.name, arm.rows, arm.control_of) for arm in arms.values()] == [
        ("no_filter", 1000, ()),
        ("a", 400, ()),
        ("b", 200, ()),
        ("random_like_a", 400, ("a",)),
        ("random_like_b", 200, ("b",)),
    ]
    assert np.array_equal(read_subset(arms["no_filter"].subset), POOL)
    for name in ("random_like_a", "random_like_b"):
        drawn = read_subset(arms[name].subset)
        assert len(drawn) == arms[name].rows == len(np.intersect1d(drawn, POOL))


def test_a_control_has_an_account_like_any_subset(tmp_path):
    arms_of(tmp_path, {"a": POOL[:400]})
    told = json.loads((tmp_path / "_subsets" / "random_like_a.json").read_text())
    assert told["recipe"] == "random_subset"
    assert told["counts"]["rows_in"] == 1000
    assert told["counts"]["rows_out"] == 400
    assert json.loads((tmp_path / "_subsets" / "no_filter.json").read_text())["recipe"] == "no_filter"


def test_the_same_pool_and_subsets_give_the_same_files(tmp_path):
    subsets = {"a": POOL[:400], "b": POOL[::3]}
    arms_of(tmp_path, subsets)
    arms_of(tmp_path, subsets, pool=POOL[::-1], into="again")
    assert contents(tmp_path / "_subsets") == contents(tmp_path / "again") != {}


def test_filters_of_nearly_one_size_share_a_control(tmp_path):
    arms = arms_of(tmp_path, {"a": POOL[:400], "b": POOL[500:904], "c": POOL[500:905]})
    assert arms["random_like_a"].control_of == ("a", "b")
    assert arms["random_like_c"].control_of == ("c",)
    assert "random_like_b" not in arms


def test_a_filter_that_keeps_nearly_all_needs_no_other_control_than_no_filter(tmp_path):
    assert list(arms_of(tmp_path, {"a": POOL[:995]})) == ["no_filter", "a"]


def test_controls_that_are_given_are_taken(tmp_path):
    arms = arms_of(tmp_path, {"a": POOL[:300], "no_filter": POOL[:600], "random_like_a": POOL[200:500]})
    assert sorted(arms) == ["a", "no_filter", "random_like_a"]
    assert arms["random_like_a"].control_of == ("a",)
    assert not (tmp_path / "_subsets" / "random_like_a.npy").exists()


def test_random_subsets_are_drawn_from_the_no_filter_that_is_given(tmp_path):
    arms = arms_of(tmp_path, {"no_filter": POOL[:600], "a": POOL[:300]})
    assert len(np.setdiff1d(read_subset(arms["random_like_a"].subset), POOL[:600])) == 0


def test_sizes_count_what_is_in_the_pool_with_repeats(tmp_path):
    elsewhere = uids_to_array([hashlib.md5(f"x{number}".encode()).hexdigest() for number in range(50)])
    arms = arms_of(tmp_path, {"a": np.concatenate([POOL[:100], POOL[:100], elsewhere])})
    assert arms["a"].rows == arms["random_like_a"].rows == 200


def test_a_subset_of_other_shards_is_named(tmp_path):
    with pytest.raises(UserError, match=r"a\.npy: none of its uids is among the 500 pairs"):
        arms_of(tmp_path, {"a": POOL[500:]}, pool=POOL[:500])
