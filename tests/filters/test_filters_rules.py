"""Each rule at its bounds, and at what real metadata holds: nulls, NaN, odd white space."""

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.clip_score import ClipScore, TopFraction
from filters.image_size import MaxAspectRatio, MinSide
from filters.language import FastTextLanguage, StoredLanguage
from filters.random_subset import RandomOfSize, RandomSubset
from filters.text import MinCharacters, MinWords
from schemas.errors import UserError


def kept(rule, **columns: object) -> list[bool]:
    return rule.keep(pa.record_batch(columns)).to_pylist()


def test_words_are_counted_as_python_splits_them():
    texts = ["a b c", "a b", " a\tb\nc ", "a\u00a0b\u3000c", "a\x1cb\x1fc", "", "   ", None]
    assert kept(MinWords(3), text=texts) == [True, False, True, True, True, False, False, False]


def test_characters_are_code_points_not_bytes():
    assert kept(MinCharacters(6), text=["abcdef", "abcde", "äöüßéè", "日本語", "👍👍👍👍👍👍", None]) == [
        True,
        False,
        True,
        False,
        True,
        False,
    ]


def test_a_side_of_just_200_px_is_kept_and_an_unknown_size_is_not():
    width = pa.array([200, 199, 4000, None, 200], pa.int32())
    height = pa.array([200, 4000, 199, 300, None], pa.int32())
    assert kept(MinSide(200), original_width=width, original_height=height) == [True, False, False, False, False]


def test_an_aspect_of_just_3_is_kept_and_no_size_is_not():
    width = pa.array([600, 200, 601, 0, 0, None], pa.int64())
    height = pa.array([200, 600, 200, 0, 200, 5], pa.int64())
    assert kept(MaxAspectRatio(3.0), original_width=width, original_height=height) == [True, True, False, False, False, False]


def test_stored_language_drops_what_has_none():
    assert kept(StoredLanguage("en"), lang=["en", "de", None, "EN"]) == [True, False, False, False]


def test_a_missing_language_model_is_told_by_its_path():
    with pytest.raises(UserError, match=r"--lid-model /nowhere/lid\.bin: no such file"):
        kept(FastTextLanguage("en", "/nowhere/lid.bin"), text=["a"])


def test_a_file_that_is_no_language_model_is_told_by_its_path(tmp_path):
    path = tmp_path / "lid.bin"
    path.write_bytes(b"not a model" * 100)
    with pytest.raises(UserError, match=r"lid\.bin: not a fastText model"):
        kept(FastTextLanguage("en", str(path)), text=["a"])


def test_scores_are_compared_in_float32():
    score = pa.array([0.28, 0.27999, math.nan, None], pa.float32())
    assert float(np.float32(0.3)) != 0.3
    assert kept(ClipScore("c", 0.28), c=score) == [True, False, False, False]
    assert kept(ClipScore("c", 0.3), c=pa.array([0.3], pa.float32())) == [True]


SCORES = st.lists(st.one_of(st.none(), st.floats(-1, 1, width=32), st.just(math.nan)), min_size=1, max_size=30)


@given(SCORES, st.floats(0, 1), st.integers(1, 5))
def test_a_fraction_keeps_the_rows_down_to_the_nth_score_ties_included(scores: list, fraction: float, cut: int):
    array = pa.array(scores, pa.float32())
    batches = [pa.record_batch({"c": array.slice(start, cut)}) for start in range(0, len(array), cut)]
    chosen = TopFraction("c", fraction).resolve(lambda _: batches)
    values = array.to_numpy(zero_copy_only=False)
    present = np.sort(values[~np.isnan(values)])[::-1]
    place = int(len(values) * fraction)
    expected = values >= present[place] if place < len(present) else ~np.isnan(values)
    assert kept(chosen, c=array) == expected.tolist()


def test_a_fraction_of_a_pool_without_rows_is_refused():
    with pytest.raises(UserError, match="no rows"):
        TopFraction("c", 0.3).resolve(lambda _: [])


def uids(count: int) -> list[str]:
    rng = np.random.default_rng(7)
    return [rng.bytes(16).hex() for _ in range(count)]


def test_a_random_subset_takes_about_its_share_and_the_seed_changes_it():
    pool = uids(4000)
    first, again, other = (np.array(kept(RandomSubset(2**62, seed), uid=pool)) for seed in (0, 0, 1))
    assert abs(first.mean() - 0.25) < 0.03
    assert (first == again).all()
    assert abs((first & other).mean() - 0.25**2) < 0.02


@given(st.permutations(range(20)))
def test_a_random_subset_does_not_depend_on_the_order_of_rows(order: list[int]):
    pool = uids(20)
    rule = RandomSubset(2**63, 3)
    straight = dict(zip(pool, kept(rule, uid=pool), strict=True))
    shuffled = [pool[i] for i in order]
    assert kept(rule, uid=shuffled) == [straight[uid] for uid in shuffled]


def test_a_random_subset_of_a_smaller_share_is_part_of_a_larger_one():
    pool = uids(500)
    small, large = (np.array(kept(RandomSubset(below, 0), uid=pool)) for below in (2**61, 2**62))
    assert (small <= large).all()


@pytest.mark.parametrize("rows", [0, 1, 137, 300, 400])
def test_a_random_subset_of_a_size_has_that_size_or_the_whole_pool(rows: int):
    batches = [pa.record_batch({"uid": uids(300)[:100]}), pa.record_batch({"uid": uids(300)[100:]})]
    chosen = RandomOfSize(rows, 0).resolve(lambda _: batches)
    assert sum(sum(chosen.keep(batch).to_pylist()) for batch in batches) == min(rows, 300)
