"""The report on filters and copies: waterfalls, overlaps, groups of copies, pairs near evaluation images."""

from pathlib import Path

import pytest

from pipeline.report.duplicates import contamination, duplicates
from pipeline.report.filters import overlap_matrix, waterfalls
from pipeline.report.read import Root, Subset, read_root
from schemas.subsets import uids_to_array


@pytest.fixture(scope="module")
def root(whole_root: Path) -> Root:
    return read_root(str(whole_root))


def made(name: str, waterfall: object) -> Subset:
    return Subset(name=name, uids=uids_to_array([]), made={"waterfall": waterfall})


def test_a_waterfall_is_drawn_of_subsets_that_several_rules_made(root: Root):
    (drawn,) = waterfalls(root.subsets)
    assert drawn["filter"] == "clip_score"
    assert "min_side removes 90 (alone 90), 310 left" in drawn["plot"]


LOST = {"removed_in_order": 0, "left": 0}


@pytest.mark.parametrize(
    "told",
    [None, 3, [3, 4], [{"rule": 1}] * 2, [{"removed_alone": -1, **LOST}] * 2, [{"removed_alone": 10**400, **LOST}] * 2],
    ids=["none", "a number", "numbers", "a rule", "negative", "huge"],
)
def test_an_account_that_is_none_draws_nothing(told: object):
    assert waterfalls([made("x", told)]) == []


def test_a_rule_whose_name_is_markup_stays_text():
    row = {"rule": {"filter": "<script>alert(1)</script>"}, "removed_alone": 1, "removed_in_order": 1, "left": 2}
    (drawn,) = waterfalls([made("<img src=x>", [row, row])])
    assert "<script" not in drawn["plot"]
    assert "<img" not in drawn["plot"]


def test_the_matrix_tells_what_share_of_each_subset_stands_in_each_other(root: Root):
    found = overlap_matrix(root.subsets)
    assert found is not None
    kept = len(next(subset for subset in root.subsets if subset.name == "clip_score").uids)
    assert f"no_filter in clip_score {100 * kept / 400:.0f} %" in found["plot"]
    assert "clip_score in no_filter 100 %" in found["plot"]
    assert overlap_matrix(root.subsets[:1]) is None


def test_copies_of_copies_stand_in_one_group_and_low_cosines_in_none(root: Root):
    found = duplicates(root)
    (kind,) = found["kinds"]
    near = [i for i in range(1, 400) if (i % 10 == 0 or (i % 10 == 1 and i > 10)) and i % 3]
    assert kind["copies"] == len(near)
    assert kind["largest"] == found["groups"][0]["size"] == 1 + sum(i % 10 == 0 or (i - 1) % 3 > 0 for i in near)
    assert len(found["groups"][0]["uids"]) == 6


def test_sets_and_their_near_pairs_are_told(root: Root):
    assert contamination(root) == [{"set": "cls_<b>shapes", "images": 50, "near": 3}]


def test_the_page_shows_them_and_escapes_names(whole_page: Path):
    page = whole_page.read_text()
    assert "cls_&lt;b&gt;shapes" in page
    assert "A group of" in page
    copies = page[page.index('id="copies"') : page.index('<section id="pairs">')]
    assert copies.count('src="data:image/jpeg') >= 6
