"""all, any, not: the laws that make compositions safe to rewrite."""

from dataclasses import dataclass

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.basic import basic_filter
from filters.compose import All, Any, Not, rules_of
from filters.contract import Filter, Selector, columns_of
from filters.describe import describe
from filters.image_size import MinSide
from filters.language import StoredLanguage
from filters.no_filter import NoFilter
from filters.text import MinWords


@dataclass(frozen=True)
class AtLeast:
    """Keeps rows whose value reaches a bound."""

    bound: int
    name = "at_least"
    reads = ("value",)

    def keep(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        return pa.array([value >= self.bound for value in batch["value"].to_pylist()], pa.bool_())


BATCHES = st.lists(st.integers(0, 9)).map(lambda values: pa.record_batch({"value": pa.array(values, pa.int64())}))
LEAVES = st.integers(0, 9).map(AtLeast) | st.just(NoFilter())
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.builds(Not, inner) | st.builds(All, st.tuples(inner, inner)) | st.builds(Any, st.tuples(inner, inner)),
    max_leaves=6,
)


@given(FILTERS, FILTERS, BATCHES)
def test_all_and_any_do_not_care_for_order(a: Filter, b: Filter, batch: pa.RecordBatch):
    assert All((a, b)).keep(batch).equals(All((b, a)).keep(batch))
    assert Any((a, b)).keep(batch).equals(Any((b, a)).keep(batch))


@given(FILTERS, BATCHES)
def test_not_undoes_itself(a: Filter, batch: pa.RecordBatch):
    assert Not(Not(a)).keep(batch).equals(a.keep(batch))


@given(FILTERS, FILTERS, BATCHES)
def test_de_morgan_holds(a: Filter, b: Filter, batch: pa.RecordBatch):
    assert Not(All((a, b))).keep(batch).equals(Any((Not(a), Not(b))).keep(batch))
    assert Not(Any((a, b))).keep(batch).equals(All((Not(a), Not(b))).keep(batch))


@given(FILTERS, BATCHES)
def test_an_answer_has_one_boolean_per_row_and_no_nulls(a: Filter, batch: pa.RecordBatch):
    answer = a.keep(batch)
    assert (answer.type, len(answer), answer.null_count) == (pa.bool_(), batch.num_rows, 0)


def test_without_members_all_keeps_everything_and_any_nothing():
    batch = pa.record_batch({"value": [1, 2]})
    assert All(()).keep(batch).to_pylist() == [True, True]
    assert Any(()).keep(batch).to_pylist() == [False, False]


def test_a_composition_reads_each_column_once():
    assert All((MinWords(1), Not(MinWords(2)), StoredLanguage("en"))).reads == ("text", "lang")
    assert columns_of(NoFilter()) == ()


def test_a_composition_is_equal_to_its_like_and_cannot_be_changed():
    assert All((MinWords(3),)) == All((MinWords(3),))
    with pytest.raises(AttributeError):
        All(()).members = (MinWords(3),)


def test_the_rules_of_a_composition_are_the_members_of_its_alls():
    language = StoredLanguage("en")
    assert [rule.name for rule in rules_of(All((basic_filter(language), Not(language))))] == [
        "language",
        "min_words",
        "min_characters",
        "min_side",
        "max_aspect_ratio",
        "not(language)",
    ]


def test_a_description_tells_name_and_parameters_of_every_member():
    assert describe(All((MinWords(3), Not(MinSide(200))))) == {
        "filter": "all(min_words, not(min_side))",
        "members": [
            {"filter": "min_words", "words": 3},
            {"filter": "not(min_side)", "member": {"filter": "min_side", "px": 200}},
        ],
    }


def test_filters_and_selectors_are_told_apart_by_what_they_can_do():
    from filters.clip_score import ClipScore, TopFraction

    assert isinstance(ClipScore("c", 0.3), Filter)
    assert not isinstance(ClipScore("c", 0.3), Selector)
    assert isinstance(TopFraction("c", 0.3), Selector)
