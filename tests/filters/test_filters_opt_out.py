"""opt_out: by the pool's judgement where there is one, else by directives and reservations, as pool itself judges them."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.registry import Context, build
from pipeline.pool.refuse import opt_outs
from schemas.candidates import CANDIDATES
from schemas.errors import UserError
from schemas.refusals import refusals

ROBOTS = CANDIDATES.field("robots").type


def kept(columns: dict, **values) -> list[bool]:
    batch = pa.record_batch(columns)
    return build("opt_out", values, Context(columns=tuple(columns))).keep(batch).to_pylist()


def test_what_the_pool_found_decides_and_null_is_as_asked():
    columns = {"opted_out": pa.array([False, True, None]), "robots": pa.array([["noai"], [], None], ROBOTS)}
    assert kept(columns) == [True, False, True]
    assert kept(columns, unknown="drop") == [True, False, False]


PAGES = st.lists(
    st.tuples(
        st.one_of(st.none(), st.lists(st.sampled_from([*sorted(refusals()), "follow", "googlebot:noai", "all"]), max_size=3)),
        st.sampled_from([True, False, None]),
    ),
    max_size=12,
)


@given(PAGES, st.integers(0, 3))
def test_directives_and_reservations_are_judged_as_pool_judges_them(pages, start):
    robots, reserved = pa.array([page[0] for page in pages], ROBOTS), pa.array([page[1] for page in pages], pa.bool_())
    batch = pa.record_batch({"robots": robots, "tdm_reserved": reserved})
    rule = build("opt_out", {}, Context(columns=("robots", "tdm_reserved")))
    expected = [bits == 0 for bits in opt_outs(batch).to_pylist()]
    assert rule.keep(batch).to_pylist() == expected
    assert rule.keep(batch.slice(start)).to_pylist() == expected[start:]


def test_a_page_of_which_nothing_is_known_is_as_asked():
    columns = {"robots": pa.array([None, [], ["follow"], None], ROBOTS), "tdm_reserved": pa.array([None, None, None, False])}
    assert kept(columns) == [True] * 4
    assert kept(columns, unknown="drop") == [False, True, True, True]


def test_either_column_alone_is_enough():
    assert kept({"robots": pa.array([["noai"], ["NoImageAI"], ["follow"]], ROBOTS)}) == [False, False, True]
    assert kept({"tdm_reserved": pa.array([True, False, None])}) == [False, True, True]


def test_metadata_that_says_nothing_of_it_is_refused():
    with pytest.raises(UserError, match="opt_out: the metadata has no column opted_out, robots or tdm_reserved"):
        build("opt_out", {}, Context(columns=("uid", "text")))


def test_columns_without_any_value_are_of_no_type_and_still_read():
    assert kept({"opted_out": pa.nulls(2)}) == [True, True]
    assert kept({"robots": pa.nulls(2), "tdm_reserved": pa.nulls(2)}) == [True, True]
