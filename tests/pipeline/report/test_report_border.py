"""The border of a filter: pairs nearest a threshold on both sides, or those that one rule alone drops."""

import dataclasses
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.report.border import dropped_by_one
from pipeline.report.panels import panels
from pipeline.report.read import read_root
from pipeline.report.scores import border_of, scan

COLUMN = "clip_demo_similarity_score"


@pytest.fixture(scope="module")
def root(whole_root):
    return read_root(str(whole_root))


def scores_of(root):
    rows = [row for path in root.score_files for row in pq.read_table(path).to_pylist()]
    return {row["uid"]: row[COLUMN] for row in rows}


def view_of(root, name, pairs=8):
    return next(view for view in scan(root.score_files, root.subsets, pairs) if view.subset.name == name)


def test_the_border_is_what_lies_nearest_the_threshold_on_each_side(root):
    view, scores = view_of(root, "clip_score"), scores_of(root)
    by_distance = sorted(scores, key=lambda uid: (abs(scores[uid] - 0.3), uid))
    assert [row["uid"] for row in view.border_kept] == [uid for uid in by_distance if scores[uid] >= 0.3][:8]
    assert [row["uid"] for row in view.border_dropped] == [uid for uid in by_distance if scores[uid] < 0.3][:8]


def test_the_border_does_not_depend_on_how_the_rows_are_cut(root, tmp_path):
    pq.write_table(pa.concat_tables(map(pq.read_table, root.score_files[::-1])), tmp_path / "one.parquet")
    one = scan([str(tmp_path / "one.parquet")], root.subsets, 8)
    assert [v.border_kept for v in one] == [v.border_kept for v in scan(root.score_files, root.subsets, 8)]


def test_pairs_that_another_rule_drops_are_not_on_the_border_of_the_score(root):
    subset = next(s for s in root.subsets if s.name == "clip_score")
    fewer = dataclasses.replace(subset, uids=subset.uids[::2])  # as if another rule dropped the other half
    (view,) = scan(root.score_files, [fewer], 400)
    assert all(row[COLUMN] < 0.3 for row in view.border_dropped)
    assert len(view.border_kept) == len(fewer.uids)


def test_a_filter_without_threshold_has_no_border_of_scores(root):
    view = view_of(root, "random_clip_score")
    assert border_of(view) is None
    assert view.border_kept == view.border_dropped == []


def test_the_gallery_tells_what_the_border_is_or_that_there_is_none(root):
    found = {p["filter"]: p for p in panels(root, scan(root.score_files, root.subsets, 6), 6)}
    border = {name: panel["sides"][1] for name, panel in found.items()}
    assert [pair["side"] for pair in border["clip_score"]["pairs"]] == ["kept"] * 3 + ["dropped"] * 3
    scores = [pair[COLUMN] for pair in border["clip_score"]["pairs"]]
    assert scores == sorted(scores, reverse=True)
    assert "a random subset has no border" in border["random_clip_score"]["note"]
    assert border["no_filter"]["note"] == ""
    assert [name for name, panel in found.items() if panel["chosen"]] == ["clip_score"]


RULES = [{"filter": "min_words", "words": 3}, {"filter": "min_characters", "characters": 17}]


@pytest.fixture
def ruled(build_root, make_pairs):
    """The subset of a filter of these rules, and the texts by uid."""

    def ruled(rules):
        rows = make_pairs(60)
        for row in rows[::7]:
            row["text"] = "Donaudampfschifffahrt"
        folder = build_root(rows)
        path = folder / "5_subsets" / "random_clip_score.json"
        waterfall = [{"rule": rule, "removed_alone": 0, "removed_in_order": 0, "left": 60} for rule in rules]
        path.write_text(json.dumps({"recipe": "basic_filter", "waterfall": waterfall}))
        root = read_root(str(folder))
        return root, next(s for s in root.subsets if s.name == "random_clip_score"), {r["uid"]: r["text"] for r in rows}

    return ruled


def test_pairs_that_one_rule_alone_drops_are_found_with_the_rule(ruled):
    root, subset, texts = ruled(RULES)
    found = dropped_by_one(root, subset, 99)
    few = {uid for uid, text in texts.items() if len(text.split()) < 3 and len(text) >= 17}
    short = {uid for uid, text in texts.items() if len(text.split()) >= 3 and len(text) < 17}
    assert {each.uid for each in found if each.rule == "min_words"} == few
    assert {each.uid for each in found if each.rule == "min_characters"} == short
    assert few
    assert short
    assert dropped_by_one(root, subset, 1) == found[:1]


@pytest.mark.parametrize(
    "rules",
    [
        RULES[:1],
        [*RULES, {"filter": "near_targets", "column": "demo_img"}],
        [*RULES, {"filter": "min_side", "px": 0.5}],
        [*RULES, {"filter": "language", "code": "en", "more": 1}],
        [*RULES, "min_words"],
        [],
    ],
    ids=["one rule", "unknown", "wrong type", "other parameters", "no table", "none"],
)
def test_rules_that_cannot_be_made_again_leave_no_border(ruled, rules):
    root, subset, _ = ruled(rules)
    assert dropped_by_one(root, subset, 5) == ()
