"""Histograms and samples: exact counts, one pass, the same pairs however the files are cut."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.report.charts import merged
from pipeline.report.read import Subset, read_root
from pipeline.report.scores import BINS, EDGES, Members, scan, threshold_of
from schemas.errors import UserError
from schemas.subsets import uids_to_array

COLUMN = "clip_demo_similarity_score"


@pytest.fixture(scope="module")
def root(whole_root):
    return read_root(str(whole_root))


def test_kept_and_dropped_add_up_to_the_scored_pairs(root):
    for view in scan(root.score_files, root.subsets, 3):
        assert view.kept[COLUMN].sum() == len(view.subset.uids)
        assert view.kept[COLUMN].sum() + view.dropped[COLUMN].sum() == view.n_pairs == 400


def test_no_kept_pair_of_clip_score_lies_below_its_threshold(root):
    view = next(v for v in scan(root.score_files, root.subsets, 100) if v.subset.name == "clip_score")
    threshold = threshold_of(view, COLUMN)
    assert threshold == 0.3
    assert all(row[COLUMN] >= 0.3 for row in view.kept_pairs)
    assert all(row[COLUMN] < 0.3 for row in view.dropped_pairs)


def test_a_filter_without_threshold_has_none(root):
    views = scan(root.score_files, root.subsets, 1)
    assert [threshold_of(v, COLUMN) for v in views if v.subset.name != "clip_score"] == [None, None]
    assert all(threshold_of(v, "clip_b32_similarity_score") is None for v in views)


def test_a_threshold_is_found_inside_a_composition(root):
    rule = {"filter": "clip_score", "column": COLUMN, "at_least": 0.28}
    made = {"resolved": {"filter": "all", "members": [{"filter": "english"}, rule]}}
    (view,) = scan(root.score_files, [Subset(name="both", uids=root.subsets[0].uids, made=made)], 1)
    assert threshold_of(view, COLUMN) == 0.28


def test_the_sample_does_not_depend_on_how_the_rows_are_cut(root, tmp_path):
    pq.write_table(pa.concat_tables(map(pq.read_table, root.score_files[::-1])), tmp_path / "one.parquet")
    cut, one = (scan(files, root.subsets, 5) for files in (root.score_files, [str(tmp_path / "one.parquet")]))
    assert [v.kept_pairs for v in cut] == [v.kept_pairs for v in one]


def test_membership_is_exact_at_both_ends_and_for_weights():
    uids = [f"{i:032x}" for i in (1, 5, 5, 2**64, 2**128 - 1)]
    subset = uids_to_array(uids)
    asked = uids_to_array([f"{i:032x}" for i in (0, 2**65, 2**127)] + [uids[-1]])
    assert Members(subset).among(asked).tolist() == [False, False, False, True]
    assert not Members(subset[:0]).among(asked).any()


def test_bars_keep_every_pair_and_have_an_edge_at_the_threshold():
    counts = np.random.default_rng(3).integers(0, 9, (2, BINS))
    edges, kept, dropped = merged(*counts, 0.285)
    assert (kept.sum(), dropped.sum()) == tuple(counts.sum(axis=1))
    assert np.isclose(edges, 0.285).any()
    assert len(edges) == len(kept) + 1 <= 70
    assert edges[0] >= EDGES[0]


def test_scores_without_key_and_shard_are_counted_and_sampled(root, tmp_path):
    for path in root.score_files:
        pq.write_table(pq.read_table(path).drop_columns(["key", "shard", "url"]), tmp_path / path.rsplit("/", 1)[-1])
    views = scan([str(path) for path in sorted(tmp_path.iterdir())], root.subsets, 5)
    expected = scan(root.score_files, root.subsets, 5)
    assert [row["text"] for view in views for row in view.kept_pairs] == [r["text"] for v in expected for r in v.kept_pairs]
    assert {row[name] for view in views for row in view.kept_pairs for name in ("key", "shard", "url")} == {None}


def test_a_uid_that_is_none_is_told_with_its_file(tmp_path):
    pq.write_table(pa.table({"uid": ["0" * 32, None]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match=r"a\.parquet: uid None has 0 characters"):
        scan([str(tmp_path / "a.parquet")], [], 5)
