"""The words of texts, as Python's str.split() finds them, straight from UTF-8: counted, or looked up in a table of known ones.

The table is open, with linear probing: `slots` holds the number of a word plus one, 0 where free; word i is bytes
[ends[i]:ends[i + 1]] of `words`, and answers[i] is what is known of it. A word is looked for in a bounded number of slots, so
that texts made for their hashes to collide cost no more than others: their words are found to be unknown.
"""

import numpy as np
from numba import njit

from filters.compiling import entry

WORDS, BYTES = range(2)  # of the table's `sizes`: what is in it
LONGEST_BYTES = 64  # of a word that is remembered
_MOST_STEPS = 64
_START, _PRIME = np.uint64(14695981039346656037), np.uint64(1099511628211)


@entry
def has_words(data, places, least, has):
    """Whether text i, data[places[i]:places[i + 1]], has at least `least` words."""
    for text in range(has.shape[0]):
        at, end, count = places[text], places[text + 1], 0
        while count < least:
            start, at, _ = _next_word(data, at, end)
            if start == end:
                break
            count += 1
        has[text] = count >= least


@entry
def find_words(data, places, begun, slots, words, ends, answers, has, unknown):
    """From `begun` = (text, byte) on: set has[i] where a word of text i is in the table with answer True.

    Unknown words go to `unknown`, (m, 3): text, begin and end in `data`. Where it is full, the place to go on from is returned,
    else the number of texts; then how many unknown words there are.
    """
    text, at = begun
    found = 0
    while text < has.shape[0]:
        end = places[text + 1]
        while at < end and not has[text]:
            start, at, value = _next_word(data, at, end)
            if start == end:
                break
            word = _slot_of(data, start, at, value, slots, words, ends)
            if word > 0:
                has[text] = answers[word - 1]
                continue
            unknown[found, 0], unknown[found, 1], unknown[found, 2] = text, start, at
            found += 1
            if found == unknown.shape[0]:
                return text, at, found
        text += 1
        at = places[text]
    return text, at, found


@entry
def remember_words(data, found, known, slots, words, ends, answers, sizes):
    """Enter words data[begin:end], (m, 3) as `find_words` gives them, with their answers, (m,) bool; one that is there stays.

    False where the table is full: the caller then empties it.
    """
    for row in range(known.shape[0]):
        begin, end = found[row, 1], found[row, 2]
        if end - begin > LONGEST_BYTES:
            continue
        if sizes[WORDS] == answers.shape[0] or sizes[BYTES] + end - begin > words.shape[0]:
            return False
        slot = -1 - _slot_of(data, begin, end, _hash_of(data, begin, end), slots, words, ends)
        if slot < 0:  # known by now, or all the slots that it may have are taken
            continue
        for at in range(end - begin):
            words[sizes[BYTES] + at] = data[begin + at]
        answers[sizes[WORDS]] = known[row]
        sizes[WORDS] += 1
        sizes[BYTES] += end - begin
        ends[sizes[WORDS]] = sizes[BYTES]
        slots[slot] = sizes[WORDS]
    return True


@njit
def _slot_of(data, begin, end, value, slots, words, ends):
    """The number of a word plus one; where it is not there, its free slot as -1 - slot, or 0 where it can have none."""
    mask = np.int64(slots.shape[0] - 1)
    slot = np.int64(value ^ (value >> np.uint64(32))) & mask  # of FNV-1a, which mixes neither half alone
    for _ in range(_MOST_STEPS):
        word = np.int64(slots[slot])
        if word == 0:
            return -1 - slot
        if _is_word(data, begin, end, words, ends[word - 1], ends[word]):
            return word
        slot = (slot + 1) & mask
    return np.int64(0)


@njit
def _is_word(data, begin, end, words, start, stop):
    if stop - start != end - begin:
        return False
    for at in range(end - begin):
        if words[start + at] != data[begin + at]:
            return False
    return True


@njit(inline="always")
def _hashed(value, byte):
    return (value ^ np.uint64(byte)) * _PRIME


@njit
def _hash_of(data, begin, end):
    value = _START
    for at in range(begin, end):
        value = _hashed(value, data[at])
    return value


@njit
def _next_word(data, at, end):
    """Where the first word of data[at:end] begins and ends, both `end` where there is none; and its hash."""
    while at < end:
        space = _space_at(data, at, end)
        if space == 0:
            break
        at += space
    start, value = at, _START
    while at < end and _space_at(data, at, end) == 0:
        value = _hashed(value, data[at])
        at += 1
    return start, at, value


@njit(inline="always")
def _space_at(data, at, end):
    """Bytes of the white space at `at`, 0 for none. As str.isspace(): U+0009-D, 1C-1F, 20, 85, A0, and those of `_is_wide`."""
    byte = data[at]
    if byte < 0x80:
        return 1 if byte == 32 or 9 <= byte <= 13 or 28 <= byte <= 31 else 0
    if byte == 0xC2:
        return 2 if at + 1 < end and (data[at + 1] == 0x85 or data[at + 1] == 0xA0) else 0
    if 0xE1 <= byte <= 0xE3 and at + 2 < end and _is_wide(byte, data[at + 1], data[at + 2]):
        return 3
    return 0


@njit
def _is_wide(first, second, third):
    if first == 0xE1:
        return second == 0x9A and third == 0x80  # U+1680
    if first == 0xE3:
        return second == 0x80 and third == 0x80  # U+3000
    if second == 0x80:
        return 0x80 <= third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF  # U+2000-200A, 2028, 2029, 202F
    return second == 0x81 and third == 0x9F  # U+205F
