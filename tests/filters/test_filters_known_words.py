"""Words found in UTF-8 by compiled code are those of str.split(), whatever the white space; what is remembered is bounded."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filters.text import MinWords
from filters.texts.known_words import KnownWords
from filters.texts.text_bytes import plain_texts, text_bytes

SPACES = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
NEARLY = [*"\u200b\u180e\u2060\ufeff\u0084\u0086\u200f\u3001\u1681\u2027\u205e\0\x1b"]
ANY = st.characters(exclude_categories=["Cs"])
TEXTS = st.lists(st.text(st.one_of(st.sampled_from([*SPACES, *NEARLY, "a", "é", "海", "😀"]), ANY), max_size=30), max_size=5)


def is_odd(word: str) -> bool:
    return sum(word.encode()) % 5 == 0


def has_odd(text: str) -> bool:
    return any(is_odd(word) for word in text.split())


def some_odd(known: KnownWords, texts: list[str]) -> list[bool]:
    return known.some(*text_bytes(pa.array(texts, pa.string()))).tolist()


def at_least(words: int, texts: pa.Array) -> list[bool]:
    return MinWords(words).keep(pa.record_batch({"text": texts})).to_pylist()


def test_every_code_point_splits_words_as_python_has_it():
    texts = [f"a{chr(code)}b" for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    assert at_least(2, pa.array(texts)) == [len(text.split()) > 1 for text in texts]
    assert sum(at_least(2, pa.array(texts))) == len(SPACES) == 29


@given(TEXTS)
def test_words_are_counted_as_python_counts_them(texts: list[str]):
    for words in range(-1, 6):
        assert at_least(words, pa.array(texts, pa.string())) == [len(text.split()) >= words for text in texts]


@given(TEXTS)
def test_a_question_about_words_has_python_s_answer(texts: list[str]):
    assert some_odd(ODD, texts) == [has_odd(text) for text in texts]
    small = KnownWords(is_odd, most_words=3, most_unknown=2)
    for _ in range(2):  # the second time with what the first one learned
        assert some_odd(small, texts) == [has_odd(text) for text in texts]


ODD = KnownWords(is_odd)


def test_a_word_is_asked_about_once_if_it_is_not_long():
    asked = []
    known = KnownWords(lambda word: bool(asked.append(word)))
    texts = ["cat dog", "dog cat\u2003cat", "x" * 65, "é" * 32]
    for _ in range(3):
        assert some_odd(known, texts) == [False] * 4
    assert sorted(asked) == sorted(["cat", "dog", "é" * 32, *["x" * 65] * 3])


def test_what_is_remembered_is_bounded_and_forgetting_changes_nothing():
    known = KnownWords(is_odd, most_words=100, most_unknown=64)
    texts = [" ".join(f"{row % 150}w{i}" for i in range(row % 17)) for row in range(2000)]
    assert some_odd(known, texts) == [has_odd(text) for text in texts]
    assert 0 < known._sizes[0] <= 100
    assert np.count_nonzero(known._slots) == known._sizes[0]


def slot_of(word: str, slots: int) -> int:
    value = 14695981039346656037
    for byte in word.encode():
        value = (value ^ byte) * 1099511628211 % 2**64
    return (value ^ value >> 32) % slots


def test_words_made_to_collide_are_answered_and_leave_the_table_usable():
    words = [word for number in range(50_000) if slot_of(word := f"w{number}", 512) == 5]
    known = KnownWords(is_odd, most_words=256)
    assert 70 < len(words) < 130
    for _ in range(2):
        assert some_odd(known, words) == [is_odd(word) for word in words]
    assert known._sizes[0] == 64, "as many as a search goes through"
    assert some_odd(known, ["other words", *words]) == [has_odd(text) for text in ["other words", *words]]


def test_a_text_of_more_unknown_words_than_are_asked_about_at_once_is_gone_on_with():
    texts = ["", " ".join(f"even{i}" for i in range(1000)), "x", " " * 9, "y " * 300 + "z"]
    known = KnownWords(lambda word: word in {"even999", "z"}, most_unknown=7)
    assert some_odd(known, texts) == [False, True, False, False, True]
    long = " ".join("x" * 70 + str(i) for i in range(100))  # none of them is remembered
    assert some_odd(known, [long, "z"]) == [False, True]


def test_threads_that_know_words_of_their_own_agree():
    texts = [f"word{i} other{i % 7}" for i in range(3000)]
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda _: some_odd(KnownWords(is_odd), texts), range(6)))
    assert found == [[has_odd(text) for text in texts]] * 6


def test_a_column_is_read_from_its_place_whatever_its_layout():
    texts = pa.array(["one two", None, "three", "", "four five six"])
    expected = [True, False, False, False, True]
    assert at_least(2, texts) == expected
    assert at_least(2, texts.slice(2)) == expected[2:]
    assert at_least(2, texts.cast(pa.large_string()).slice(1, 4)) == expected[1:]
    assert at_least(2, texts.dictionary_encode().slice(1)) == expected[1:]
    assert at_least(2, texts.cast(pa.string_view())) == expected
    assert at_least(2, pa.nulls(3, pa.string())) == at_least(2, pa.nulls(3)) == [False] * 3
    assert at_least(0, pa.array([None, ""])) == [False, True]
    assert at_least(2, pa.array([], pa.string())) == at_least(2, texts.slice(5)) == []
    with pytest.raises(TypeError, match="int64"):
        plain_texts(pa.array([1]))


def test_bytes_that_are_no_utf8_are_read_within_their_bounds():
    odd = [b"\xe2\x80", b"a\xc2", b"\xe1", b"\xe3\x80 x", b"\xff\xfe y"]
    ends = np.cumsum([0, *map(len, odd)], dtype=np.int32)
    column = pa.StringArray.from_buffers(len(odd), pa.py_buffer(ends), pa.py_buffer(b"".join(odd)))
    assert at_least(2, column) == [False, False, False, True, True]
