"""Exact copies: by dedup's column, or by sha256 with the smallest uid as the one that stays."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.exact_dedup import ExactDedup, MarkedExactDedup
from filters.registry import Context, build
from filters.uids.uid_lookup import UidTable
from schemas.errors import UserError
from schemas.subsets import uids_to_array

Row = tuple[str, str | None]


def uid(number: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()


def sha(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def batches_of(rows: list[Row], cut: int) -> list[pa.RecordBatch]:
    columns = {"uid": pa.array([row[0] for row in rows], pa.string()), "sha256": pa.array([row[1] for row in rows], pa.string())}
    whole = pa.record_batch(columns)
    return [whole.slice(start, cut) for start in range(0, len(rows), cut)]


def kept(rows: list[Row], cut: int = 7) -> list[bool]:
    batches = batches_of(rows, cut)
    chosen = ExactDedup().resolve(lambda columns: batches)
    return [one for batch in batches for one in chosen.keep(batch).to_pylist()]


def one_by_one(rows: list[Row]) -> list[bool]:
    smallest: dict[str, str] = {}
    for name, digest in rows:
        if digest is not None and len(digest) == 64:
            smallest[digest] = min(name, smallest.get(digest, name))
    return [digest not in smallest or smallest[digest] == name for name, digest in rows]


ROWS = st.lists(
    st.tuples(st.integers(0, 30).map(uid), st.one_of(st.none(), st.just("no sha"), st.integers(0, 8).map(sha))), max_size=60
)


@given(ROWS, st.integers(1, 9))
def test_of_the_same_bytes_the_smallest_uid_is_kept_however_the_files_are_cut(rows: list[Row], cut: int):
    assert kept(rows, cut) == one_by_one(rows)


def test_the_order_of_rows_does_not_matter():
    rows = [(uid(i), sha(i % 5)) for i in range(40)]
    backwards = kept(rows[::-1])[::-1]
    assert kept(rows) == backwards == one_by_one(rows)
    assert sum(backwards) == 5


def test_a_pair_that_stands_there_twice_is_no_copy_of_itself():
    assert kept([(uid(1), sha(1)), (uid(1), sha(1))]) == [True, True]


def test_what_is_no_sha256_is_kept():
    assert kept([(uid(1), None), (uid(2), ""), (uid(3), "z" * 64), (uid(4), "z" * 64), (uid(5), "é" * 64)]) == [True] * 5


def test_digests_in_capitals_are_the_same_digests():
    assert sum(kept([(uid(1), sha(1)), (uid(2), sha(1).upper())])) == 1


def test_an_empty_pool_has_no_copies():
    chosen = ExactDedup().resolve(lambda columns: [])
    assert chosen.keep(batches_of([(uid(1), sha(1))], 1)[0]).to_pylist() == [True]
    assert chosen.keep(batches_of([(uid(1), sha(1))], 1)[0].slice(0, 0)).to_pylist() == []


def test_the_column_of_dedup_decides_where_there_is_one():
    rule = build("exact_dedup", {}, Context(columns=("uid", "sha256", "exact_dup_of")))
    assert rule == MarkedExactDedup()
    assert rule.keep(pa.record_batch({"exact_dup_of": pa.array([None, uid(1)], pa.string())})).to_pylist() == [True, False]


def test_without_either_column_the_error_says_how_to_get_one():
    assert build("exact_dedup", {}, Context(columns=("uid", "sha256"))) == ExactDedup()
    with pytest.raises(UserError, match=r"neither exact_dup_of nor sha256; run `webpairs dedup`"):
        build("exact_dedup", {}, Context(columns=("uid",)))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=20, unique=True))
def test_a_table_of_uids_finds_those_that_share_their_high_half(halves: list):
    table = uids_to_array([f"{high:016x}{low:016x}" for high, low in halves])
    asked = uids_to_array([f"{high:016x}{low:016x}" for high in range(4) for low in range(6)])
    places = UidTable(table).places(asked)
    listed = table.tolist()
    assert places.tolist() == [listed.index(one) if one in listed else -1 for one in asked.tolist()]
    assert np.array_equal(table[places[places >= 0]], asked[places >= 0])
