"""Semantic duplicates are dropped from a cosine on, chosen after the fact."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.registry import Context, build
from filters.semantic_dedup import SemanticDedup
from schemas.errors import UsageError, UserError

CONTEXT = Context(columns=("uid", "dup_of", "dup_cos"))
ROWS = st.lists(st.tuples(st.one_of(st.none(), st.just("a" * 32)), st.one_of(st.none(), st.floats(0, 1, width=32))), max_size=30)


def kept(cosine: float, rows: list) -> list[bool]:
    columns = {
        "dup_of": pa.array([row[0] for row in rows], pa.string()),
        "dup_cos": pa.array([row[1] for row in rows], pa.float32()),
    }
    return SemanticDedup(cosine).keep(pa.record_batch(columns)).to_pylist()


@given(ROWS, st.floats(0, 1, width=32))
def test_a_row_is_kept_that_is_no_duplicate_or_one_less_similar(rows: list, bound: float):
    expected = [of is None or (cosine is not None and cosine < bound) for of, cosine in rows]
    assert kept(bound, rows) == expected


@given(ROWS, st.floats(0, 1), st.floats(0, 1))
def test_a_lower_threshold_drops_more(rows: list, one: float, other: float):
    strict, lax = kept(min(one, other), rows), kept(max(one, other), rows)
    assert all(not kept or also for kept, also in zip(strict, lax, strict=True))


def test_a_duplicate_of_unknown_similarity_is_dropped_and_the_threshold_itself_is_a_duplicate():
    assert kept(0.9, [("a" * 32, None), ("a" * 32, float("nan")), ("a" * 32, 0.9), (None, 0.99)]) == [False, False, False, True]


def test_without_the_columns_of_dedup_the_error_says_how_to_get_them():
    with pytest.raises(UserError, match=r"no column dup_of, dup_cos; run `webpairs dedup` and give its folder with --beside"):
        build("semantic_dedup", {}, Context(columns=("uid",)))


def test_what_is_no_cosine_is_refused():
    assert build("semantic_dedup", {}, CONTEXT) == SemanticDedup(0.95)
    with pytest.raises(UsageError, match="cosine 95"):
        build("semantic_dedup", {"cosine": 95}, CONTEXT)
