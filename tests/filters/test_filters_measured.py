"""Cuts by a measure: thresholds, top fractions and their ties, the same however the pool is ordered and cut into batches."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.compose import All, Any, Not, Then, resolve
from filters.contract import Filter
from filters.measured import AtLeast, Between, Stored, Top, cut, threshold_at
from schemas.errors import UsageError, UserError

# Few values, so that many rows share one; NaN and null for rows without a score.
SCORES = st.lists(st.one_of(st.integers(0, 5).map(float), st.just(math.nan), st.none()), min_size=1, max_size=40)
FRACTIONS = st.floats(0, 1)


def batches(scores: list, cuts: list[int]) -> list[pa.RecordBatch]:
    column = pa.array(scores, pa.float32(), from_pandas=False)
    rows = pa.record_batch({"row": pa.array(range(len(scores))), "s": column})
    edges = sorted({0, len(scores), *(at % (len(scores) + 1) for at in cuts)})
    return [rows.slice(start, end - start) for start, end in pairwise(edges)]


def kept(chosen: Filter, parts: list[pa.RecordBatch]) -> set[int]:
    return {row for part in parts for row in part.filter(chosen.keep(part))["row"].to_pylist()}


def plain_top(scores: list, fraction: float) -> set[int]:
    """DataComp's rule, as it is written: the n-th of the descending scores, and all that reach it."""
    known = [-math.inf if score is None or math.isnan(score) else score for score in scores]
    ordered = sorted(known, reverse=True)
    place = int(len(scores) * fraction)
    bound = ordered[place] if place < len(ordered) else -math.inf
    return {row for row, score in enumerate(known) if score >= bound and score > -math.inf}


@given(SCORES, FRACTIONS, st.lists(st.integers(0, 99), max_size=4))
def test_the_top_fraction_is_datacomps_whatever_the_batches(scores: list, fraction: float, cuts: list[int]):
    parts = batches(scores, cuts)
    chosen = Top(Stored("s"), fraction).resolve(lambda _: parts)
    assert kept(chosen, parts) == plain_top(scores, fraction)


@given(SCORES, FRACTIONS, st.randoms(use_true_random=False))
def test_ties_come_and_go_together_in_any_order_of_the_rows(scores: list, fraction: float, random):
    order = list(range(len(scores)))
    random.shuffle(order)
    one, other = batches(scores, []), batches([scores[row] for row in order], [])
    straight = kept(Top(Stored("s"), fraction).resolve(lambda _: one), one)
    shuffled = kept(Top(Stored("s"), fraction).resolve(lambda _: other), other)
    assert {order[row] for row in shuffled} == straight


@given(SCORES, st.integers(0, 5), FRACTIONS)
def test_then_takes_its_fraction_of_what_is_left_and_all_of_the_whole_pool(scores: list, bound: int, fraction: float):
    parts = batches(scores, [3, 11])
    low, top = Not(Between(Stored("s"), bound)), Top(Stored("s"), fraction)
    left = [row for row, score in enumerate(scores) if score is None or not score >= bound]
    inner = plain_top([scores[row] for row in left], fraction) if left else set()
    assert kept(resolve(Then((low, top)), lambda _: parts), parts) == {left[row] for row in inner}
    both = kept(resolve(All((low, top)), lambda _: parts), parts)
    assert both == set(left) & plain_top(scores, fraction)
    either = kept(resolve(Any((low, top)), lambda _: parts), parts)
    assert either == set(left) | plain_top(scores, fraction)


@dataclass(frozen=True)
class AboveMean:
    """A measure that has to see the pool: the score less the pool's mean."""

    mean: float = 0.0
    name = "above_mean"
    reads = ("s",)

    def prepare(self, pool) -> "Prepared":
        return Prepared(float(np.nanmean(np.concatenate([Stored("s").measure(batch) for batch in pool(self.reads)]))))


@dataclass(frozen=True)
class Prepared:
    mean: float
    name = "above_mean"
    reads = ("s",)

    def measure(self, batch: pa.RecordBatch) -> np.ndarray:
        return (Stored("s").measure(batch) - self.mean).astype(np.float32)


def test_a_measure_of_the_pool_is_prepared_before_it_is_cut():
    parts = batches([1.0, 2.0, 3.0, 6.0], [2])
    assert kept(cut(AboveMean(), 0.0, None).resolve(lambda _: parts), parts) == {2, 3}
    assert kept(cut(AboveMean(), None, 0.25).resolve(lambda _: parts), parts) == {2, 3}
    assert isinstance(cut(AboveMean(), 0.0, None), AtLeast)


def test_a_bound_is_compared_in_the_columns_own_precision():
    parts = batches([0.3], [])
    assert kept(Between(Stored("s"), 0.3), parts) == {0}


@pytest.mark.parametrize("given_", [(None, None), (0.1, 0.1)])
def test_a_threshold_or_a_fraction_is_given_and_not_both(given_: tuple):
    with pytest.raises(UsageError, match="either --threshold or --fraction"):
        cut(Stored("s"), *given_)


def test_a_pool_without_rows_has_no_fraction():
    with pytest.raises(UserError, match="s: no rows to take a fraction of"):
        threshold_at([], 0.5, "s")


def test_a_column_of_texts_is_no_measure():
    with pytest.raises(UserError, match="column s: not numbers"):
        Stored("s").measure(pa.record_batch({"s": ["a"]}))


def test_an_unresolved_selector_says_what_to_do():
    with pytest.raises(TypeError, match="resolve the composition first"):
        All((Top(Stored("s"), 0.5),)).keep(batches([1.0], [])[0])
