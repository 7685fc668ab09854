"""Perceptual hashes within some bits of a listed one: all of them, and no other, against counting every bit."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.revise.phashes import MOST_BITS, near_listed


def counted(hashes, listed, bits):
    return np.array([any((int(one) ^ int(other)).bit_count() <= bits for other in listed) for one in hashes], bool)


def flipped(word, places):
    for place in places:
        word ^= 1 << place
    return word


@pytest.mark.parametrize("listed", [1, 40, 5000])
@pytest.mark.parametrize("bits", [0, 1, 3, 4, 7, 12, MOST_BITS])
def test_the_bound_is_exact_wherever_the_bits_lie(listed, bits):
    draw = np.random.default_rng(bits)
    known = draw.integers(0, 2**64, listed, np.uint64)
    at, over = [], []
    for number in range(60):
        places = draw.permutation(64)
        word = int(known[number % listed])
        at.append(flipped(word, places[:bits].tolist()))
        over.append(flipped(word, places[: bits + 1].tolist()))
    hashes = np.array([*at, *over], np.uint64)
    found = near_listed(hashes, known, bits)
    assert found[:60].all()
    apart = np.bitwise_count(hashes[:, None] ^ known[None, :]).min(axis=1)
    assert found.tolist() == (apart <= bits).tolist()


@given(
    st.lists(st.integers(0, 2**64 - 1), max_size=40),
    st.lists(st.integers(0, 2**64 - 1), max_size=40),
    st.lists(st.tuples(st.integers(0, 39), st.lists(st.integers(0, 63), max_size=20)), max_size=20),
    st.integers(0, MOST_BITS),
)
def test_hashes_are_found_as_counting_finds_them(hashes, listed, near, bits):
    hashes += [flipped(listed[at], places) for at, places in near if at < len(listed)]
    hashes, listed = np.array(hashes, np.uint64), np.array(listed, np.uint64)
    assert near_listed(hashes, listed, bits).tolist() == counted(hashes, listed, bits).tolist()


def test_a_list_so_long_that_tables_are_made_finds_the_same_as_one_that_is_compared_with():
    draw = np.random.default_rng(3)
    listed, hashes = (draw.integers(0, 2**64, count, np.uint64) for count in (30_000, 400))
    hashes[:50] = listed[:50] ^ np.uint64(0b1011 << 30)
    apart = np.concatenate([np.bitwise_count(each ^ listed).min(keepdims=True) for each in hashes])
    for bits in (2, 3, 8, 14):
        assert near_listed(hashes, listed, bits).tolist() == (apart <= bits).tolist()
