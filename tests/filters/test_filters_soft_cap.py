"""Soft cap sampling against the draw computed with every key, and against the softmax that it samples."""

import hashlib
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.registry import Context, build
from filters.soft_cap import SoftCap
from filters.uids.uid_hash import hashes_of, key_of, mixed
from schemas.errors import UsageError, UserError
from schemas.subsets import uid_rows

CONTEXT = Context(columns=("uid", "score", "clip_b32_similarity_score"))


def uid(number: int) -> str:
    return hashlib.md5(str(number).encode()).hexdigest()


def pool_of(scores: list[float | None], first: int = 0) -> pa.RecordBatch:
    names = pa.array([uid(first + i) for i in range(len(scores))], pa.string())
    return pa.record_batch({"uid": names, "score": pa.array(scores, pa.float32())})


def asked(rows: int | None, scale: float = 1.0, penalty: float = 0.15, draw_rows: int | None = 5, seed: int = 0) -> SoftCap:
    return SoftCap("score", rows, None, scale, penalty, draw_rows, seed)


def drawn(rule: SoftCap, batches: list[pa.RecordBatch]) -> list[int]:
    draw = rule.draw(lambda columns: batches)
    return [count for batch in batches for count in draw.repeats(batch).tolist()]


def every_key(rule: SoftCap, whole: pa.RecordBatch) -> list[int]:
    """A draw at a time, all keys in Python floats, sorted."""
    scores = whole["score"].to_pylist()
    urn = [i for i, score in enumerate(scores) if score is not None and math.isfinite(score)]
    hashes, counts, left, turn = hashes_of(uid_rows(whole["uid"])), [0] * len(scores), rule.rows, 0
    while left > 0:
        numbers = [(int(one) + 0.5) * 2.0**-52 for one in mixed(hashes ^ key_of(rule.seed, turn)) >> np.uint64(12)]
        noise = [-math.log(-math.log1p(-number)) for number in numbers]
        logits = [float(np.float32((score or 0) * rule.scale)) for score in scores]
        keys = {i: logits[i] - rule.penalty * counts[i] + noise[i] for i in urn}
        for i in sorted(urn, key=lambda i: -keys[i])[: min(rule.draw_rows, left)]:
            counts[i] += 1
        left, turn = left - min(rule.draw_rows, left, len(urn)), turn + 1
    return counts


SCORES = st.lists(st.one_of(st.none(), st.floats(-30, 30, width=32), st.just(math.nan), st.just(math.inf)), max_size=25)


@given(
    scores=SCORES,
    rows=st.integers(0, 60),
    scale=st.sampled_from([0.1, 1.0, 20.0]),
    penalty=st.sampled_from([0.0, 0.15, 3.0]),
    draw_rows=st.integers(1, 30),
    cut=st.integers(1, 26),
)
def test_each_draw_takes_the_greatest_keys(*, scores, rows: int, scale: float, penalty: float, draw_rows: int, cut: int):
    whole = pool_of([1.0, *scores])
    rule = asked(rows, scale, penalty, draw_rows)
    found = drawn(rule, [whole.slice(at, cut) for at in range(0, whole.num_rows, cut)])
    assert found == every_key(rule, whole)
    assert sum(found) == rows


def test_a_larger_pool_is_sieved_to_the_same_draw():
    rng = np.random.default_rng(0)
    whole = pool_of(rng.normal(size=800).tolist())
    for rule in (asked(500, draw_rows=50), asked(1500, 3.0, 0.5, 700), asked(100, 30.0, 0.01, 1)):
        assert drawn(rule, [whole]) == every_key(rule, whole)


def test_a_pair_is_drawn_as_often_as_its_share_of_the_softmax_where_nothing_is_lowered():
    scores = [0.0, 1.0, 2.0, 3.0]
    found = np.array(drawn(asked(5000, penalty=0.0, draw_rows=1), [pool_of(scores)]))
    shares = np.exp(scores) / np.exp(scores).sum()
    assert np.abs(found / 5000 - shares).max() < 5 * math.sqrt(0.25 / 5000)


def test_the_penalty_evens_out_what_is_drawn():
    scores = np.linspace(0, 6, 50).tolist()
    sharp, even = (np.array(drawn(asked(2000, penalty=penalty, draw_rows=4), [pool_of(scores)])) for penalty in (0.0, 0.5))
    assert sharp.max() > 2 * even.max()
    assert (even > 0).sum() > (sharp > 0).sum()
    assert np.corrcoef(scores, even)[0, 1] > 0.9


def test_the_order_and_cut_of_files_do_not_matter_and_the_seed_does():
    whole = pool_of(np.random.default_rng(1).normal(size=200).tolist())
    straight = drawn(asked(100), [whole])
    assert drawn(asked(100), [whole.take(list(range(199, -1, -1)))])[::-1] == straight
    assert drawn(asked(100, seed=1), [whole]) != straight


def test_rows_of_one_uid_are_one_pair_with_the_greatest_of_their_scores():
    whole = pool_of([0.5, 2.0, 1.0])
    copies = pool_of([7.0, None])  # of the first two
    counts = drawn(asked(30, draw_rows=2), [whole, copies])
    assert counts[3:] == counts[:2]
    assert counts[:3] == drawn(asked(30, draw_rows=2), [pool_of([7.0, 2.0, 1.0])])


def test_scores_far_apart_are_drawn_from_the_greatest_down():
    scores = [1e38, 1e30, 0.0, -1e30, -1e38, -3e38]
    for count in range(7):
        assert drawn(asked(count, 1e-3, draw_rows=6), [pool_of(scores)]) == [1] * count + [0] * (6 - count)
    assert sum(drawn(asked(6, 100.0, draw_rows=6), [pool_of(scores)])) == 6


def test_without_draw_rows_a_small_pool_is_drawn_from_in_small_draws():
    counts = drawn(asked(20, 10.0, draw_rows=None), [pool_of(np.linspace(0, 1, 20).tolist())])
    assert sum(counts) == 20
    assert max(counts) > 1


def test_a_fraction_is_that_of_the_kept_rows_and_may_be_more_than_all():
    rule = build("soft_cap", {"column": "score", "fraction": 2.5}, CONTEXT)
    assert sum(drawn(rule, [pool_of([1.0, 2.0, None, 3.0])])) == 10


def test_an_empty_pool_gives_nothing_and_one_without_scores_is_refused():
    rule = build("soft_cap", {"column": "score", "fraction": 0.5}, CONTEXT)
    assert rule.draw(lambda columns: []).repeats(pool_of([1.0])).tolist() == [0]
    assert drawn(asked(3), [pool_of([1.0])]) == [3]
    with pytest.raises(UserError, match="none of 4 rows has a finite number in column score"):
        drawn(rule, [pool_of([None, math.nan, math.inf, -math.inf])])


def test_cosines_are_made_logits_as_in_clip():
    assert build("soft_cap", {"arch": "b32", "rows": 5}, CONTEXT) == SoftCap(
        "clip_b32_similarity_score", 5, None, 100.0, 0.15, None, 0
    )
    assert build("soft_cap", {"column": "score", "rows": 5}, CONTEXT).scale == 1.0


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"rows": 5}, UsageError, "either column or --arch"),
        ({"rows": 5, "column": "score", "arch": "b32"}, UsageError, "either column or --arch"),
        ({"column": "score"}, UsageError, "either rows or --fraction"),
        ({"column": "score", "rows": 5, "fraction": 0.5}, UsageError, "either rows or --fraction"),
        ({"column": "score", "rows": -5}, UsageError, "0 or more"),
        ({"column": "score", "rows": 5, "penalty": -0.1}, UsageError, "0 or more"),
        ({"column": "score", "rows": 5, "draw_rows": 0}, UsageError, "draw_rows 1 or more"),
        ({"column": "other", "rows": 5}, UserError, "no column other"),
        ({"arch": "l14", "rows": 5}, UserError, "no column clip_l14_similarity_score"),
    ],
)
def test_what_does_not_go_together_is_refused(values: dict, error: type, message: str):
    with pytest.raises(error, match=message):
        build("soft_cap", values, CONTEXT)


def test_more_rows_than_a_draw_can_give_in_any_time_are_refused():
    with pytest.raises(UserError, match="more than 100000 times"):
        SoftCap("s", 10**12, None, 1.0, 0.15, None, 0).draw(
            lambda _: [pa.record_batch({"uid": [f"{1:032x}"], "s": pa.array([0.1], pa.float32())})]
        )
