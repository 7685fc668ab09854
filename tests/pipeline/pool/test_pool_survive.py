"""Who survives among the records of one uid, however they arrive."""

from collections import Counter

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.pool import PoolConfig
from pipeline.pool.judge import Rules, judge
from pipeline.pool.survive import EARLIEST, survivors

RULES = Rules.of(PoolConfig(candidates="c", out="o"))


def survive(batches):
    return pa.Table.from_batches(survivors(batches)).to_pylist()


def sorted_batch(batch, rows):
    return pa.concat_batches([judge(batch([row]), RULES, Counter()) for row in rows]).sort_by(EARLIEST)


def test_the_earliest_record_survives_and_an_unknown_date_is_the_latest(batch, row):
    rows = [row(day=None, page_url="https://x.org/"), row(day=3), row(day=1, page_url="https://first.org/")]
    (survivor,) = survive([sorted_batch(batch, rows)])
    assert survivor["page_url"] == "https://first.org/"
    assert survivor["n_records"] == 3


def test_at_one_time_the_place_in_the_crawl_decides(batch, row):
    rows = [row(wat_path="b", record_offset=0), row(wat_path="a", record_offset=9), row(wat_path="a", record_offset=5)]
    (survivor,) = survive([sorted_batch(batch, rows)])
    assert (survivor["wat_path"], survivor["record_offset"]) == ("a", 5)


def test_one_page_that_opts_out_counts_for_the_pair(batch, row):
    rows = [row(day=0), row(day=1, robots=["noai"]), row(text="another cat")]
    opted_out = {survivor["text"]: bool(survivor["opt_outs"]) for survivor in survive([sorted_batch(batch, rows)])}
    assert opted_out == {"a red cat on a roof": True, "another cat": False}


@given(st.lists(st.integers(0, 5), max_size=30), st.data())
def test_survivors_do_not_depend_on_how_the_rows_are_cut_into_batches(batch, row, numbers, data):
    rows = [row(text=f"cat {number}", day=day, robots=["noai"] if day % 7 == 0 else []) for day, number in enumerate(numbers)]
    if not rows:
        assert list(survivors([])) == []
        return
    whole = sorted_batch(batch, rows)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=6)))
    pieces = [whole.slice(start, end - start) for start, end in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    assert survive(pieces) == survive([whole])
    assert len(survive([whole])) == len(set(numbers))
    assert sum(survivor["n_records"] for survivor in survive([whole])) == len(rows)
