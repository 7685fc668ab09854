"""JSON blocks of metadata records → pages: where in the buffer what is wanted of a page stands. Nothing is built.

The shape of a record is Common Crawl's (Envelope / Payload-Metadata / HTTP-Response-Metadata / HTML-Metadata / Head, Links); key
order does not matter. A record of another shape (a key twice, a string where an object stands) is refused, not guessed at.
"""

import numpy as np
from numba import njit

from filters.compiling import entry
from pipeline.extract.compiled.json import (
    CLOSE_OBJECT,
    COMMA,
    OPEN_OBJECT,
    QUOTE,
    REFUSED,
    after_space,
    plain_key_end,
    same,
    value_at,
    value_end,
)
from pipeline.extract.compiled.links import MOST_URL_BYTES, settle
from pipeline.extract.compiled.parts import (
    HEAD_LINK,
    LINK,
    META,
    N_LINKS,
    N_NOTES,
    N_PAGES,
    NOTE_KIND,
    OTHERS,
    read_headers,
    read_list,
)
from pipeline.extract.compiled.records import BLOCK_END, BLOCK_START
from pipeline.extract.compiled.records import TARGET_END as RECORD_TARGET_END
from pipeline.extract.compiled.records import TARGET_START as RECORD_TARGET_START
from pipeline.extract.compiled.simd import LANES, lowest_bit, pairs_of

# Columns of a row of `pages`. Spans are those of string values without their quotes, start 0 where there is none.
RECORD, TARGET_START, TARGET_END, DATE_START, DATE_END, BASE_START, BASE_END = range(7)
FIRST_LINK, END_LINK, FIRST_NOTE, END_NOTE = range(7, 11)
PAGE_COLUMNS = 11
# Objects on the way to what is wanted, each with the one around it; then the leaves.
(_RECORD, _ENVELOPE, _PAYLOAD, _RESPONSE, _HTML, _HEAD, _WARC) = range(7)
(_TARGET, _DATE, _BASE, _HEADERS, _METAS, _HEAD_LINKS, _LINKS, _UNKNOWN, _OTHER) = range(7, 16)
_AROUND = np.array([-1, _RECORD, _ENVELOPE, _PAYLOAD, _RESPONSE, _HTML, _ENVELOPE])


@njit
def _part(inside, data, start, end):
    """What the key data[start:end] of the object `inside` names. _UNKNOWN: something that Python must read."""
    if inside == _RECORD:
        return _ENVELOPE if same(data, start, end, b"Envelope") else _OTHER
    if inside == _ENVELOPE:
        if same(data, start, end, b"Payload-Metadata"):
            return _PAYLOAD
        if same(data, start, end, b"WARC-Header-Metadata"):
            return _WARC
        return _UNKNOWN if same(data, start, end, b"ARC-Header-Metadata") else _OTHER
    if inside == _PAYLOAD:
        if same(data, start, end, b"HTTP-Response-Metadata"):
            return _RESPONSE
        told = same(data, start, end, b"WARC-Info-Metadata") or same(data, start, end, b"Filedesc-Metadata")
        return _UNKNOWN if told else _OTHER
    if inside == _RESPONSE:
        if same(data, start, end, b"HTML-Metadata"):
            return _HTML
        return _HEADERS if same(data, start, end, b"Headers") else _OTHER
    if inside == _HTML:
        if same(data, start, end, b"Links"):
            return _LINKS
        return _HEAD if same(data, start, end, b"Head") else _OTHER
    if inside == _HEAD:
        if same(data, start, end, b"Metas"):
            return _METAS
        if same(data, start, end, b"Link"):
            return _HEAD_LINKS
        return _BASE if same(data, start, end, b"Base") else _OTHER
    if same(data, start, end, b"WARC-Target-URI"):
        return _TARGET
    return _DATE if same(data, start, end, b"WARC-Date") else _OTHER


@njit
def _read_record(data, at, end, wanted, page, links, notes, counts):
    """Read the record whose JSON is data[at:end] into `page`, `links` and `notes`; whether it was taken."""
    inside, seen = _RECORD, 1 << _RECORD
    at = after_space(data, at)
    if data[at] != OPEN_OBJECT:
        return False
    opened = True
    while True:
        at = after_space(data, at + 1)
        if opened and data[at] == CLOSE_OBJECT:
            ended = at
        else:
            key = at + 1
            at = plain_key_end(data, at, end)
            if at == REFUSED:
                return False
            part = _part(inside, data, key, at)
            at = value_at(data, at)
            if at == REFUSED or part == _UNKNOWN or (part < _OTHER and seen & (1 << part)):
                return False
            seen |= 1 << part
            if part <= _WARC:
                if data[at] != OPEN_OBJECT:
                    return False
                inside, opened = part, True
                continue
            at = _read_part(part, data, at, end, wanted, page, links, notes, counts)
            if at == REFUSED:
                return False
            ended = after_space(data, at)
        opened = False
        while data[ended] == CLOSE_OBJECT:
            if inside == _RECORD:
                return ended < end <= after_space(data, ended + 1)
            inside = _AROUND[inside]
            ended = after_space(data, ended + 1)
        if data[ended] != COMMA or ended >= end:
            return False
        at = ended


@njit
def _read_part(part, data, at, end, wanted, page, links, notes, counts):
    """Read the value at `at` of a leaf; the index after it, or REFUSED."""
    if part == _LINKS or part == _HEAD_LINKS or part == _METAS:
        what = META if part == _METAS else (LINK if part == _LINKS else HEAD_LINK)
        return read_list(what, data, at, end, wanted, links, notes, counts)
    if part == _HEADERS:
        return read_headers(data, at, end, notes, counts)
    after = value_end(data, at, end)
    if part == _OTHER or after == REFUSED:
        return after
    if data[at] != QUOTE:
        return REFUSED
    column = TARGET_START if part == _TARGET else (DATE_START if part == _DATE else BASE_START)
    page[column], page[column + 1] = at + 1, after - 1
    return after


@njit
def _has_others(notes, first, end):
    for number in range(first, end):
        if notes[number, NOTE_KIND] & OTHERS:
            return True
    return False


@njit
def _contains(data, start, end, wanted):
    """Whether `wanted`, two bytes or more, stands in data[start:end]."""
    size = len(wanted)
    for block in range(start, end - size + 1, LANES):
        found = pairs_of(data, block, wanted[0], wanted[size - 1], size - 1)
        while found:
            at = block + lowest_bit(found)
            if at + size <= end and same(data, at, at + size, wanted):
                return True
            found &= found - np.uint64(1)
    return False


@entry
def read_pages(data, records, first, last, wanted, pages, links, notes, counts, tally):
    """Read records[first:last] until one is refused; the index of that one, or `last`.

    Appends rows to `pages` (n, PAGE_COLUMNS), `links` (n, LINK_COLUMNS) and `notes` (n, NOTE_COLUMNS), all int64, and keeps
    `counts` (3,) of them. Only pages with image links are kept, their links settled; `tally` (4,) int64 counts what they were.
    `wanted` (bits of compiled.sources): what else may be an image and is noted; then pages with such notes are kept, too. None
    for nothing else.
    """
    for number in range(first, last):
        start, end = records[number, BLOCK_START], records[number, BLOCK_END]
        if wanted is None and not _contains(data, start, end, b"IMG@"):
            if _contains(data, start, end, b"isPartOf"):
                return number
            continue
        first_link, first_note = counts[N_LINKS], counts[N_NOTES]
        page = pages[counts[N_PAGES]]
        page[:] = 0
        taken = _read_record(data, start, end, wanted, page, links, notes, counts)
        url_bytes = page[TARGET_END] - page[TARGET_START]
        if url_bytes == 0:
            url_bytes = records[number, RECORD_TARGET_END] - records[number, RECORD_TARGET_START]
        if not taken or not 0 < url_bytes <= MOST_URL_BYTES:
            counts[N_LINKS], counts[N_NOTES] = first_link, first_note
            return number
        if counts[N_LINKS] == first_link and not _has_others(notes, first_note, counts[N_NOTES]):
            counts[N_NOTES] = first_note
            continue
        settle(data, links, first_link, counts[N_LINKS], tally)
        page[RECORD] = number
        page[FIRST_LINK], page[END_LINK] = first_link, counts[N_LINKS]
        page[FIRST_NOTE], page[END_NOTE] = first_note, counts[N_NOTES]
        counts[N_PAGES] += 1
    return last
