"""Opt-outs, licences and languages: exact counts of whole tables, a sample of large ones that says so."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.report.census import EITHER, NO_LICENCE, OTHER_LICENCE, RESERVED, ROBOTS, SILENT, UNKNOWN_LANGUAGE, census, shown
from pipeline.report.read import read_root
from schemas.columns import STRINGS
from schemas.errors import UserError


def test_every_pair_is_counted_once_per_question(whole_root):
    candidates, pool = census(read_root(str(whole_root)))
    assert (candidates.name, candidates.rows, candidates.counted) == ("candidates", 400, 400)
    assert candidates.opt_outs == {ROBOTS: 40, RESERVED: 27, EITHER: 53, SILENT: 347}
    assert candidates.licences == {NO_LICENCE: 200, "cc-by": 100, OTHER_LICENCE: 100}
    assert not candidates.languages
    assert pool.rows == 347
    assert pool.opt_outs[EITHER] == 0
    assert sum(pool.languages.values()) == 347
    assert pool.languages[UNKNOWN_LANGUAGE] == 173


def test_of_more_rows_than_are_counted_some_row_groups_are(whole_root):
    candidates, _ = census(read_root(str(whole_root)), most_rows=150)
    assert (candidates.rows, candidates.counted) == (400, 150)  # 3 of 8 groups
    assert sum(candidates.licences.values()) == 150


def test_the_page_says_that_it_counted_a_sample(whole_root, monkeypatch, tmp_path):
    from pipeline.report import page

    monkeypatch.setattr(page, "census", lambda root: census(root, most_rows=150))
    html = page.render(read_root(str(whole_root)), pairs=1)
    assert "Counted over 150 of 400 pairs of the candidates, " in html
    assert "of large tables a sample of their row groups" in html


def test_lines_tell_each_tables_share(whole_root):
    told = shown(census(read_root(str(whole_root))))
    assert told["opt_outs"][2] == {"name": EITHER, "cells": [("candidates", 53, 400), ("pool", 0, 347)]}
    assert [line["name"] for line in told["licences"]] == [NO_LICENCE, "cc-by", OTHER_LICENCE]
    assert told["languages_of"] == "pool"
    assert "pairs of the pool by language: de 25.1 %, en 25.1 %, not recognised 49.9 %" in told["languages"]


def test_a_table_without_the_columns_has_no_answers(tmp_path):
    for folder in ("1_candidates", "2_pool"):
        (tmp_path / folder).mkdir()
    pq.write_table(pa.table({"uid": ["0" * 32]}), tmp_path / "1_candidates" / "a.parquet")
    pq.write_table(pa.table({"robots": pa.array([["noai"]], STRINGS)}), tmp_path / "2_pool" / "a.parquet")
    (tmp_path / "4_scores").mkdir()
    pq.write_table(pa.table({"uid": ["0" * 32]}), tmp_path / "4_scores" / "a.parquet")
    candidates, pool = census(read_root(str(tmp_path)))
    assert candidates.opt_outs == candidates.licences == candidates.languages == {}
    assert pool.opt_outs == {ROBOTS: 1, RESERVED: 0, EITHER: 1, SILENT: 0}
    assert shown((candidates, pool))["languages"] is None


def test_a_file_that_is_no_table_is_named(build_root, make_pairs):
    root = build_root(make_pairs(20))
    (root / "2_pool" / "a.parquet").write_bytes(b"{not this}")
    with pytest.raises(UserError, match=r"2_pool/a\.parquet"):
        census(read_root(str(root)))
