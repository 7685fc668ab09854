"""Settled links → rows: uid, url and text in the buffers of Arrow arrays, each uid once (and again where a page refuses more).

The table of uids is open addressing with linear probing: `uids` (n, 2) uint64, `refused` (n,) int64 with EMPTY in free slots, n a
power of two. A digest that is found again is a duplicate unless its page refuses something that no page before it did.
"""

import numpy as np
from numba import njit

from filters.compiling import entry
from pipeline.extract.compiled.links import (
    AFTER_FOLDER,
    AFTER_HOST,
    AFTER_SCHEME,
    GIVEN,
    GIVEN_URL,
    GONE,
    LINK_PAGE,
    LINK_SOURCE,
    TEXT_END,
    TEXT_START,
    URL_END,
    URL_START,
    WAY,
)
from pipeline.extract.compiled.md5 import md5

EMPTY = -1
# Columns of a row of `bases`: where the base URL stands in `prefixes`, and how long it is up to scheme, host and folder; what the
# page refuses (bits); the page's row in the group of rows that is being filled; characters that each of its rows repeats.
BASE_START, SCHEME_SIZE, HOST_SIZE, FOLDER_SIZE, REFUSES, GROUP_PAGE, TOLD_SIZE = range(7)
BASE_COLUMNS = 7
# What `write_rows` keeps account of: rows and bytes written to the group, uids in the table, duplicates.
ROWS, URL_BYTES, TEXT_BYTES, UIDS, DUPLICATES, TOLD = range(6)
PAD_BYTES = 72
MOST_TOLD = 16 << 20  # characters of page columns in a group: a page of many images may have much to say of itself
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


@entry
def write_rows(
    links,
    first,
    last,
    data,
    given,
    bases,
    prefixes,
    uids,
    refused,
    pair,
    uid_out,
    url_out,
    url_ends,
    text_out,
    text_ends,
    page_out,
    source_out,
    state,
):
    """Append links[first:last] that are not GONE to the group until something is full; the index of the first one left.

    URLs and texts stand in `data`, or in `given` where Python gave them. `pair` is scratch, PAD_BYTES longer than the longest
    pair; `uid_out` (rows, 32) uint8; `url_ends`, `text_ends` (rows + 1,) int32 offsets; `page_out` (rows,) int32; `source_out`
    (rows,) int8; `state` (6,) int64.
    """
    digest = np.empty(4, np.uint32)
    for number in range(first, last):
        link = links[number]
        way = link[WAY]
        if way == GONE:
            continue
        base = bases[link[LINK_PAGE]]
        before = _prefix_size(way, base)
        text_size = link[TEXT_END] - link[TEXT_START]
        size = text_size + before + link[URL_END] - link[URL_START]
        row = state[ROWS]
        full = row == len(page_out) or state[TEXT_BYTES] + text_size > len(text_out) or 2 * state[UIDS] >= len(refused)
        full = full or (row > 0 and state[TOLD] + base[TOLD_SIZE] > MOST_TOLD)
        if full or state[URL_BYTES] + size - text_size > len(url_out) or size + PAD_BYTES > len(pair):
            return number
        _copy(pair, 0, given if way == GIVEN else data, link[TEXT_START], text_size)
        _copy(pair, text_size, prefixes, base[BASE_START], before)
        _copy(pair, text_size + before, given if way >= GIVEN_URL else data, link[URL_START], size - text_size - before)
        md5(pair, 0, size, digest)
        if not _admit(digest, base[REFUSES], uids, refused, state):
            state[DUPLICATES] += 1
            continue
        _copy(text_out, state[TEXT_BYTES], pair, 0, text_size)
        _copy(url_out, state[URL_BYTES], pair, text_size, size - text_size)
        state[TEXT_BYTES] += text_size
        state[URL_BYTES] += size - text_size
        text_ends[row + 1], url_ends[row + 1], page_out[row] = state[TEXT_BYTES], state[URL_BYTES], base[GROUP_PAGE]
        source_out[row] = link[LINK_SOURCE]
        _write_hex(digest, uid_out[row])
        state[ROWS] += 1
        state[TOLD] += base[TOLD_SIZE]
    return last


@entry
def rehash(uids, refused, larger_uids, larger_refused):
    """Bring all uids into a larger, empty table."""
    for slot in range(len(refused)):
        if refused[slot] != EMPTY:
            place = _slot(uids[slot, 0], uids[slot, 1], larger_uids, larger_refused)
            larger_uids[place] = uids[slot]
            larger_refused[place] = refused[slot]


@njit
def _prefix_size(way, base):
    if way == AFTER_SCHEME:
        return base[SCHEME_SIZE]
    if way == AFTER_HOST:
        return base[HOST_SIZE]
    return base[FOLDER_SIZE] if way == AFTER_FOLDER else 0


@njit
def _admit(digest, refuses, uids, refused, state):
    """Whether the pair is new, or its page refuses something new; the table remembers it."""
    high = np.uint64(digest[0]) << np.uint64(32) | np.uint64(digest[1])
    low = np.uint64(digest[2]) << np.uint64(32) | np.uint64(digest[3])
    slot = _slot(high, low, uids, refused)
    if refused[slot] == EMPTY:
        uids[slot, 0], uids[slot, 1], refused[slot] = high, low, refuses
        state[UIDS] += 1
        return True
    if refuses & ~refused[slot] == 0:
        return False
    refused[slot] |= refuses
    return True


@njit
def _slot(high, low, uids, refused):
    """The slot of a digest, or the free one where it belongs."""
    last = np.uint64(len(refused) - 1)
    slot = low & last
    while refused[slot] != EMPTY and (uids[slot, 0] != high or uids[slot, 1] != low):
        slot = (slot + np.uint64(1)) & last
    return slot


@njit
def _write_hex(digest, out):
    for place in range(16):
        byte = digest[place >> 2] >> np.uint32(8 * (place & 3)) & np.uint32(0xFF)
        out[2 * place], out[2 * place + 1] = _HEX[byte >> np.uint32(4)], _HEX[byte & np.uint32(15)]


@njit
def _copy(target, at, source, start, size):
    for place in range(size):
        target[at + place] = source[start + place]
