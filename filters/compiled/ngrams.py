"""fastText's input side (Joulin et al. 2016; Bojanowski et al. 2017): a text's bytes → the sum of its words' and n-grams' rows.

A word is what stands between white space. Its rows are its own, where the model knows it, and those of the n-grams of <word>,
which share the rows behind the known words' by a hash. Rows are added one by one in the library's order, so that the sums are
the library's to the last bit.
"""

import numpy as np
from numba import njit

FNV_START, FNV_PRIME = np.uint32(2166136261), np.uint32(16777619)
ASK = -1  # instead of a number of rows: the library is to be asked
_OPEN, _CLOSE = np.uint8(ord("<")), np.uint8(ord(">"))
_MOST_STEPS = 1000  # through the table of words: with more, its words are made to collide


@njit(inline="always")
def hashed(value, byte):
    """32-bit FNV-1a of one more byte, as fastText has it: bytes are signed."""
    signed = np.uint32(byte) | (np.uint32(0xFFFFFF00) if byte >= 128 else np.uint32(0))
    return np.uint32((value ^ signed) * FNV_PRIME)


@njit(inline="always")
def _is_space(byte):
    return byte == 32 or 9 <= byte <= 13 or byte == 0


@njit(inline="always")
def _goes_on(byte):
    """Whether a byte of UTF-8 goes on with a code point."""
    return byte & 0xC0 == 0x80


@njit(inline="always")
def add_row(hidden, rows, row):
    for at in range(hidden.shape[0]):
        hidden[at] += rows[row, at]


@njit
def fill_slots(words, ends, slots):
    """Enter the words, words[ends[i]:ends[i + 1]], into an open table of at least twice as many slots, -1 in free ones.

    False where their hashes collide as those of no language's words do.
    """
    mask = np.uint32(slots.shape[0] - 1)
    for word in range(ends.shape[0] - 1):
        value = FNV_START
        for at in range(ends[word], ends[word + 1]):
            value = hashed(value, words[at])
        slot, steps = value & mask, 0
        while slots[slot] >= 0:
            slot, steps = (slot + np.uint32(1)) & mask, steps + 1
            if steps > _MOST_STEPS:
                return False
        slots[slot] = word
    return True


@njit
def _id_of(data, begin, end, value, words, ends, slots):
    """Which word data[begin:end], of hash `value`, is; -1 for one that is not known."""
    mask = np.uint32(slots.shape[0] - 1)
    slot = value & mask
    while slots[slot] >= 0:
        found = slots[slot]
        start = ends[found]
        if ends[found + 1] - start == end - begin and _same(data, begin, words, start, end - begin):
            return found
        slot = (slot + np.uint32(1)) & mask
    return np.int32(-1)


@njit
def _same(one, one_from, other, other_from, length):
    for at in range(length):
        if one[one_from + at] != other[other_from + at]:
            return False
    return True


@njit
def _may_be_a_mark(data, start, end):
    """__label__… is a label, and </s> ends the line."""
    if data[start] == 95:
        return end - start > 2 and data[start + 1] == 95
    return data[start] == 60 and end - start == 4 and data[start + 1] == 47


@njit
def add_text(data, begin, end, table, known, rows, shape, hidden):
    """Add the rows of data[begin:end] to `hidden`, (d,) float32; how many, or ASK where a word may be one of fastText's marks.

    `table`: words, ends and slots, the first `known` of them words, the others labels.
    """
    words, ends, slots = table
    count, at = 0, begin
    while at < end:
        if _is_space(data[at]):
            at += 1
            continue
        start, value = at, FNV_START
        while at < end and not _is_space(data[at]):
            value = hashed(value, data[at])
            at += 1
        word = _id_of(data, start, at, value, words, ends, slots)
        if word >= known or _may_be_a_mark(data, start, at):
            return ASK
        if word >= 0:
            add_row(hidden, rows, word)
            count += 1
        count += _add_ngrams(data, start, at, known, rows, shape, hidden)
    return count


@njit
def _add_ngrams(data, begin, end, known, rows, shape, hidden):
    """Add the rows of the n-grams of <word>, which is data[begin:end]; how many. `shape`: buckets, least and most code points."""
    shortest, longest = shape[1], shape[2]
    if longest < 1:
        return 0
    buckets, count = np.uint32(shape[0]), 0
    for start in range(begin - 1, end):  # from the opening mark on; the closing one is no n-gram by itself
        value, at, signs = FNV_START, start, 1
        if start < begin:
            value, at, signs = hashed(value, _OPEN), begin, 2
            while at < end and _goes_on(data[at]):
                value, at = hashed(value, data[at]), at + 1
        elif _goes_on(data[start]):
            continue
        while at < end and signs <= longest:
            value, at = hashed(value, data[at]), at + 1
            while at < end and _goes_on(data[at]):
                value, at = hashed(value, data[at]), at + 1
            if signs >= shortest:
                add_row(hidden, rows, known + value % buckets)
                count += 1
            signs += 1
        if at == end and max(2, shortest) <= signs <= longest:
            add_row(hidden, rows, known + hashed(value, _CLOSE) % buckets)
            count += 1
    return count
