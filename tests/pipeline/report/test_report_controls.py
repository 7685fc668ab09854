"""Which filters are controls: what their accounts say, and only without one their names."""

import pytest

from pipeline.report.read import read_root
from pipeline.report.verdict import is_control, is_random


@pytest.mark.parametrize(
    ("name", "made", "expected"),
    [
        ("half", {"recipe": "random_subset"}, True),
        ("random_words_filter", {"recipe": "basic_filter"}, False),
        ("random_like_basic_filter", {}, True),
        ("pseudorandom_text", {}, False),
        ("less_random_text", {}, False),
        ("random_text", {"recipe": None}, True),
    ],
)
def test_a_random_subset_is_told_by_its_account_else_by_its_prefix(name, made, expected):
    assert is_random(name, made) is expected


def test_the_ranking_of_a_root_knows_its_controls(build_root, make_pairs):
    root = build_root(make_pairs(60))
    folder = root / "5_subsets"
    for old, new in (("random_clip_score", "clip_score_"), ("clip_score", "random_clip_score"), ("clip_score_", "clip_score")):
        for suffix in (".npy", ".json"):
            (folder / f"{old}{suffix}").rename(folder / f"{new}{suffix}")
    found = {row["filter"] for row in read_root(str(root)).ranking if is_control(row)}
    assert found == {"no_filter", "clip_score"}
