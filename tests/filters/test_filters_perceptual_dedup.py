"""Perceptual copies are dropped up to a distance, chosen after the fact."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.perceptual_dedup import PerceptualDedup
from filters.registry import Context, build
from schemas.errors import UsageError, UserError

CONTEXT = Context(columns=("uid", "phash_dup_of", "phash_dup_bits"))
ROWS = st.lists(st.tuples(st.one_of(st.none(), st.just("a" * 32)), st.one_of(st.none(), st.integers(0, 64))), max_size=30)


def kept(bits: int, rows: list) -> list[bool]:
    columns = {
        "phash_dup_of": pa.array([row[0] for row in rows], pa.string()),
        "phash_dup_bits": pa.array([row[1] for row in rows], pa.int32()),
    }
    return PerceptualDedup(bits).keep(pa.record_batch(columns)).to_pylist()


@given(ROWS, st.integers(0, 64))
def test_a_row_is_kept_that_is_no_copy_or_differs_in_more_bits(rows: list, bits: int):
    assert kept(bits, rows) == [of is None or (found is not None and found > bits) for of, found in rows]


def test_zero_bits_drops_equal_hashes_only():
    assert kept(0, [("a" * 32, 0), ("a" * 32, 1), (None, None), ("a" * 32, None)]) == [False, True, True, False]


def test_without_the_columns_of_dedup_the_error_says_how_to_get_them():
    with pytest.raises(UserError, match=r"no column phash_dup_bits; run `webpairs dedup`"):
        build("perceptual_dedup", {}, Context(columns=("uid", "phash_dup_of")))


@pytest.mark.parametrize("bits", [-1, 65])
def test_a_distance_that_no_two_hashes_have_is_refused(bits: int):
    with pytest.raises(UsageError, match=f"bits {bits}: must be from 0 to 64"):
        build("perceptual_dedup", {"bits": bits}, CONTEXT)
