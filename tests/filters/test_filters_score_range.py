"""Ranges and fractions of any stored column of numbers."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.registry import Context, build
from filters.score_range import ScoreRange, TopScores
from schemas.errors import UsageError, UserError

CONTEXT = Context(columns=("uid", "aesthetic_score"))
NUMBERS = st.lists(st.one_of(st.none(), st.just(math.nan), st.floats(-5, 5, width=32)), min_size=1, max_size=30)


def kept(rule, column: pa.Array) -> list[bool]:
    return rule.keep(pa.record_batch({"aesthetic_score": column})).to_pylist()


def made(**values: object) -> ScoreRange | TopScores:
    return build("score_range", {"column": "aesthetic_score", **values}, CONTEXT)


@given(NUMBERS, st.floats(-5, 5, width=32), st.floats(0, 5, width=32), st.sampled_from(["drop", "keep"]))
def test_a_range_includes_its_bounds_and_missing_says_what_becomes_of_no_number(numbers, low, width, missing):
    high = float(np.float32(low + width))
    expected = [
        missing == "keep" if number is None or math.isnan(number) else low <= number <= high  # one row at a time
        for number in numbers
    ]
    assert kept(made(at_least=low, at_most=high, missing=missing), pa.array(numbers, pa.float32())) == expected


def test_whole_numbers_are_numbers_and_null_is_none():
    assert kept(made(at_most=2), pa.array([1, 2, 3, None], pa.int32())) == [True, True, False, False]
    assert kept(made(at_least=2, missing="keep"), pa.array([1, 2, 3, None], pa.int64())) == [False, True, True, True]


def test_text_is_refused_by_the_column_it_stands_in():
    with pytest.raises(UserError, match="column aesthetic_score: not numbers"):
        kept(made(at_least=1), pa.array(["fine"]))


@pytest.mark.parametrize("missing", ["drop", "keep"])
def test_a_fraction_keeps_the_greatest_numbers_and_counts_rows_without_one(missing: str):
    batches = [
        pa.record_batch({"aesthetic_score": pa.array(part, pa.float32())}) for part in ([1, None, 3], [], [math.nan, 2, 0])
    ]
    chosen = made(fraction=0.34, missing=missing).resolve(lambda columns: batches)
    gone = missing == "keep"
    assert [kept(chosen, batch["aesthetic_score"]) for batch in batches] == [[True, gone, True], [], [gone, True, False]]


def test_a_fraction_of_no_rows_is_refused():
    with pytest.raises(UserError, match="no rows"):
        made(fraction=0.5).resolve(lambda columns: [])


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({}, UsageError, "give at_least, at_most or both, or else fraction"),
        ({"at_least": 1.0, "fraction": 0.5}, UsageError, "give at_least"),
        ({"at_least": 2.0, "at_most": 1.0}, UsageError, "at_least 2.0 is more than at_most 1.0"),
        ({"fraction": 2.0}, UsageError, "must be from 0 to 1"),
        ({"column": "nsfw", "at_most": 1.0}, UserError, "no column nsfw"),
        ({"missing": "guess", "at_most": 1.0}, UsageError, "one of drop, keep"),
    ],
)
def test_what_does_not_go_together_is_refused(values: dict, error: type, message: str):
    with pytest.raises(error, match=message):
        made(**values)


@pytest.mark.parametrize("kind", [pa.int64(), pa.decimal128(21, 2)])
def test_large_whole_numbers_are_compared_exactly_with_and_without_nulls(kind: pa.DataType):
    numbers = [2**24 + i for i in range(5)]
    for values in (numbers, [*numbers, None]):
        batch = pa.record_batch({"n": pa.array(values, pa.int64()).cast(kind)})
        assert ScoreRange("n", at_least=2**24 + 1, at_most=2**24 + 3).keep(batch).to_pylist()[:5] == [
            False,
            True,
            True,
            True,
            False,
        ]


def test_a_bound_beyond_the_columns_precision_is_infinite_without_a_warning():
    batch = pa.record_batch({"n": pa.array([1.0, math.nan], pa.float32())})
    assert ScoreRange("n", at_least=-1e300, at_most=1e300).keep(batch).to_pylist() == [True, False]


def test_a_column_of_times_is_refused():
    batch = pa.record_batch({"n": pa.array([0], pa.timestamp("us"))})
    with pytest.raises(UserError, match="column n: not numbers"):
        ScoreRange("n", at_least=0.0).keep(batch)
