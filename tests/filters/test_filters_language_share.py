"""language_share against a plain cut of every language by itself, and scores and languages that are missing."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.language_share import LanguageShare
from filters.registry import Context, build
from schemas.errors import UsageError, UserError

CONTEXT = Context(columns=("lang", "score", "clip_l14_similarity_score"))
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["en", "de", "عربي", "", None]),
        st.one_of(st.none(), st.just(math.nan), st.floats(-1, 1, width=32), st.sampled_from([0.25, 0.5])),
    ),
    max_size=30,
)


def batches_of(rows, cut: int = 4) -> list[pa.RecordBatch]:
    languages, scores = [row[0] for row in rows], [row[1] for row in rows]
    whole = pa.record_batch({"lang": pa.array(languages, pa.string()), "score": pa.array(scores, pa.float32())})
    return [whole.slice(start, cut) for start in range(0, whole.num_rows, cut)]


def kept(rows, **values) -> list[bool]:
    batches = batches_of(rows)
    rule = build("language_share", {"column": "score", **values}, CONTEXT).resolve(lambda _: batches)
    return [answer for batch in batches for answer in rule.keep(batch).to_pylist()]


def plainly_kept(rows, share: float, sign: int) -> list[bool]:
    answers = []
    for language, score in rows:
        group = [math.nan if own is None else sign * own for other, own in rows if other == language]
        ranked = sorted((own for own in group if not math.isnan(own)), reverse=True)
        place = int(len(group) * share)
        least = ranked[place] if place < len(ranked) else -math.inf
        answers.append(language is not None and score is not None and sign * score >= least)
    return answers


@given(ROWS, st.floats(0, 1), st.sampled_from([("head", 1), ("tail", -1)]))
def test_every_language_is_cut_by_itself(rows, share, end):
    assert kept(rows, **{end[0]: share}) == plainly_kept(rows, share, end[1])


def test_the_head_of_a_small_language_is_kept_where_one_threshold_would_drop_it_whole():
    rows = [("en", 0.9 - i / 100) for i in range(10)] + [("sw", 0.3 - i / 100) for i in range(10)]
    answers = kept(rows, head=0.3)
    assert sum(answers[:10]) == sum(answers[10:]) == 4  # DataComp's rule keeps one row more


def test_only_the_languages_asked_for_and_only_those_of_enough_rows_are_kept():
    rows = [("en", 0.5)] * 3 + [("de", 0.5)] * 2 + [(None, 0.5)]
    assert kept(rows, head=1.0, languages=["de", "fr"]) == [False] * 3 + [True] * 2 + [False]
    assert kept(rows, head=1.0, least_rows=3) == [True] * 3 + [False] * 3


def test_rows_may_be_grouped_by_another_column_and_cut_by_a_clip_score():
    batch = pa.record_batch({"source": ["img", "a", "a"], "clip_l14_similarity_score": pa.array([0.1, 0.2, 0.3], pa.float32())})
    context = Context(columns=tuple(batch.schema.names))
    rule = build("language_share", {"by": "source", "arch": "l14", "head": 0.4}, context).resolve(lambda _: [batch])
    assert rule.keep(batch).to_pylist() == [True, False, True]


def test_scores_of_double_precision_are_cut_in_their_own():
    batch = pa.record_batch({"lang": ["en"] * 3, "score": np.array([0.1, 0.1 + 1e-12, 0.1 + 2e-12])})
    rule = LanguageShare("lang", "score", 0.4, None).resolve(lambda _: [batch])
    assert rule.keep(batch).to_pylist() == [False, True, True]


def test_a_pool_without_rows_or_without_a_language_keeps_nothing():
    assert kept([], head=0.5) == []
    assert kept([(None, 0.5)], tail=0.5) == [False]


def test_a_language_that_the_pass_did_not_see_is_dropped():
    rule = LanguageShare("lang", "score", 1.0, None).resolve(lambda _: batches_of([("en", 0.5)]))
    assert rule.keep(batches_of([("de", 0.9)])[0]).to_pylist() == [False]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"head": 0.5}, "either --arch or --param column"),
        ({"column": "score"}, "either head or tail"),
        ({"column": "score", "head": 0.5, "tail": 0.5}, "either head or tail"),
        ({"column": "score", "tail": 1.5}, r"tail = 1\.5: must be from 0 to 1"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(values, told):
    with pytest.raises(UsageError, match=told):
        build("language_share", values, CONTEXT)


def test_a_column_that_the_metadata_lacks_is_named():
    with pytest.raises(UserError, match="the metadata has no column lang"):
        build("language_share", {"column": "score", "head": 0.5}, Context(columns=("score",)))
