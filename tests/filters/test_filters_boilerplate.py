"""boilerplate against a plain count of pages, and metadata that lacks them."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filters.boilerplate import Boilerplate, distinct_pairs
from filters.registry import Context, build
from filters.texts.folded_text import folded, hashes, pieces
from schemas.errors import UsageError, UserError


def batches_of(texts, places, rows: int = 3) -> list[pa.RecordBatch]:
    whole = pa.record_batch({"text": pa.array(texts, pa.string()), "page_url": pa.array(places, pa.string())})
    return [whole.slice(start, rows) for start in range(0, whole.num_rows, rows)]


def kept(most: int, texts, places) -> list[bool]:
    batches = batches_of(texts, places)
    rule = Boilerplate(most, "page_url").resolve(lambda _: batches)
    return [answer for batch in batches for answer in rule.keep(batch).to_pylist()]


def plainly_kept(most: int, texts, places) -> list[bool]:
    pages: dict[str, set] = {}
    plain = [" ".join((text or "").lower().split()) for text in texts]
    for text, place in zip(plain, places, strict=True):
        pages.setdefault(text, set()).update([place] if place else [])
    return [text != "" and len(pages[text]) <= most for text in plain]


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["logo", "Logo ", "LOGO", "a  cat", "a\ncat", "شعار", "", " ", "\x00", None]),
        st.sampled_from(["p1", "p2", "p3", None]),
    ),
    max_size=25,
)


@given(ROWS, st.integers(1, 3))
@settings(max_examples=50, deadline=None)
def test_texts_on_more_pages_than_that_are_dropped_case_and_white_space_aside(rows, most):
    texts, places = [text for text, _ in rows], [place for _, place in rows]
    assert kept(most, texts, places) == plainly_kept(most, texts, places)


def test_a_text_many_times_on_one_page_stands_on_one_page():
    assert kept(1, ["buy"] * 5 + ["logo"] * 2, ["p"] * 5 + ["p", "q"]) == [True] * 5 + [False] * 2


@given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=9), max_size=9), st.integers(1, 8))
def test_pairs_are_merged_in_chunks_to_what_they_are_together(parts, chunk):
    kind = np.dtype([("text", np.uint64), ("place", np.uint64)])
    found = distinct_pairs((np.array(part, kind) for part in parts), chunk)
    assert found.tolist() == sorted({pair for part in parts for pair in part})


def test_a_text_of_200_000_characters_is_counted_like_any_other():
    long = "Word " * 40_000
    assert kept(1, [long, long.lower(), "short"], ["p", "q", "p"]) == [False, False, True]


def test_pages_are_counted_where_the_metadata_has_them_else_images():
    assert build("boilerplate", {}, Context(columns=("text", "url", "page_url"))).reads == ("text", "page_url")
    assert build("boilerplate", {}, Context(columns=("text", "url"))).reads == ("text", "url")
    assert build("boilerplate", {"per": "url"}, Context(columns=("text", "url", "page_url"))).reads == ("text", "url")


def test_a_column_that_the_metadata_lacks_and_a_bound_of_none_are_refused():
    with pytest.raises(UserError, match="boilerplate: the metadata has no column page_url"):
        build("boilerplate", {"per": "page_url"}, Context(columns=("text", "url")))
    with pytest.raises(UsageError, match="most = 0"):
        build("boilerplate", {"most": 0}, Context(columns=("text", "url")))


def test_a_pool_without_rows_has_no_boilerplate():
    assert kept(1, [], []) == []


@given(st.lists(st.one_of(st.none(), st.text(max_size=9)), max_size=12), st.integers(1, 30))
def test_pieces_are_the_texts_in_order_within_their_bytes(texts, most_bytes):
    parts = list(pieces(pa.array(texts, pa.string()), most_bytes))
    assert [text for part in parts for text in part.to_pylist()] == [text or "" for text in texts]
    assert all(len(part) == 1 or sum(len(text.encode()) for text in part.to_pylist()) <= most_bytes for part in parts)


def test_bytes_that_are_no_utf8_cost_their_characters_and_not_their_file():
    content = pa.array([b"a \xff\xfe", b"caf\xc3\xa9", None, b"\xed\xa0\x80"], pa.binary())
    broken = pa.Array.from_buffers(pa.string(), len(content), content.buffers())
    (piece,) = pieces(broken)
    assert piece.to_pylist() == ["a \ufffd\ufffd", "café", "", "\ufffd\ufffd\ufffd"]


def test_every_white_space_of_unicode_folds_to_one_space():
    blanks = [chr(code) for code in range(0x110000) if chr(code).isspace()]
    assert folded(pa.array([f" A{blank} b{blank}" for blank in blanks])).to_pylist() == ["a b"] * len(blanks)
    assert folded(pa.array(["\u200fشعار\u200e", "\ufeffA\u200b", None])).to_pylist() == ["شعار", "a", None]


def test_hashes_are_those_of_every_machine_and_null_has_none():
    logo, none, again, empty = hashes(pa.array(["logo", None, "logo", ""])).tolist()
    assert logo == again == int.from_bytes(hashlib.blake2b(b"logo", digest_size=8).digest(), "little")
    assert none == 0 != empty
