"""laion2b: English by CLD3, and a B/32 similarity of at least 0.28."""

import math

import pyarrow as pa
import pytest

from filters.laion2b import Cld3Language
from filters.registry import Context, build
from schemas.errors import UsageError, UserError

CONTEXT = Context(columns=("uid", "text", "clip_b32_similarity_score"))
ENGLISH = "a dog plays in the garden behind the house"


def kept(texts: list, scores: list) -> list[bool]:
    batch = pa.record_batch({"text": texts, "clip_b32_similarity_score": pa.array(scores, pa.float32())})
    return build("laion2b", {}, CONTEXT).keep(batch).to_pylist()


def test_it_keeps_english_of_a_high_score_only():
    texts = [ENGLISH, ENGLISH, "ein Hund spielt im Garten hinter dem Haus", ENGLISH, ENGLISH, None]
    assert kept(texts, [0.28, 0.2799, 0.3, math.nan, None, 0.3]) == [True, False, False, False, False, False]


def test_a_line_end_is_a_space_to_the_language_model():
    model = Cld3Language("en")
    lines = ENGLISH.replace(" ", "\n")
    assert model.keep(pa.record_batch({"text": [lines, ENGLISH]})).to_pylist() == [True, True]


def test_odd_texts_have_no_language_and_are_dropped():
    assert kept(["", " ", "\x00", "123 456", "\n\n"], [0.5] * 5) == [False] * 5


def test_it_takes_no_fraction_and_needs_the_score():
    with pytest.raises(UsageError, match="laion2b does not take it"):
        build("laion2b", {"fraction": 0.3}, CONTEXT)
    with pytest.raises(UserError, match="no column clip_b32_similarity_score"):
        build("laion2b", {}, Context(columns=("uid", "text")))
