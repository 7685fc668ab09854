"""repetition against a plain count of words and runs, and texts that are odd."""

import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.registry import Context, build
from filters.repetition import Repetition
from schemas.errors import UsageError

RULE = Repetition(0.5, 0.3, 50)


def kept(texts, rule: Repetition = RULE) -> list[bool]:
    return rule.keep(pa.record_batch({"text": pa.array(texts, pa.string())})).to_pylist()


def again(values: list) -> int:
    return len(values) - len(set(values))


def plainly_kept(text: str, rule: Repetition) -> bool:
    words = re.findall(r"[0-9a-zäاب]+|[红车]", text.lower())
    runs = list(zip(words, words[1:], words[2:], strict=False))
    few_words = len(words) > rule.long_words or again(words) <= rule.most_words * len(words)
    return few_words and again(runs) <= rule.most_runs * len(runs)


PARTS = st.sampled_from(
    ["a", "B", "b", "ä", "Ä", "7", "اب", "红", "车", " ", " ", " ", "-", "!", "\x00", "\u3000", "😀", "\u200f "]
)


@given(st.lists(st.lists(PARTS, max_size=40).map("".join), max_size=8), st.sampled_from([5, 50]))
@settings(max_examples=40, deadline=None)
def test_words_and_runs_are_counted_as_the_plain_count_has_them(texts, long_words):
    rule = Repetition(0.5, 0.3, long_words)
    assert kept(texts, rule) == [plainly_kept(text, rule) for text in texts]


def test_a_word_said_again_and_again_is_dropped_and_a_sentence_is_not():
    texts = ["shoes shoes shoes buy shoes", "Shoes, SHOES. shoes!", "a cat and a dog on a mat", "شسي شسي شسي", "哈哈哈哈"]
    assert kept(texts) == [False, False, True, False, False]


def test_of_texts_below_four_words_only_three_times_the_same_is_dropped():
    assert kept(["Bora Bora", "shoes shoes", "shoes shoes shoes", "the the cat", "a", "New York New York"]) == [
        True,
        True,
        False,
        True,
        True,
        True,
    ]


def test_a_text_without_words_repeats_none_and_null_is_dropped():
    assert kept(["", "   ", "...", "♥♥♥", "\x00\x00", None]) == [True, True, True, True, True, False]


def test_a_long_text_is_judged_by_its_runs():
    numbered = " ".join(f"the {word}" for word in range(60))  # half of its words are "the"
    assert kept([numbered, "how to buy a car now " * 60]) == [True, False]


def test_texts_of_200_000_characters_are_judged():
    assert kept(["word " * 40_000, "x" * 200_000, " ".join(map(str, range(34_000)))]) == [False, True, True]


def test_a_slice_of_a_column_is_judged_by_its_own_rows():
    batch = pa.record_batch({"text": ["shoes shoes shoes", "a cat", None, "a a a a"]})
    assert RULE.keep(batch.slice(1)).to_pylist() == [True, False, False]
    assert RULE.keep(batch.slice(4)).to_pylist() == []


def test_a_share_beyond_one_is_refused():
    with pytest.raises(UsageError, match=r"most_runs = 1\.5"):
        build("repetition", {"most_runs": 1.5}, Context(columns=("text",)))
