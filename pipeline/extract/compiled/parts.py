"""The lists of a page: its links, the metas of its head, its HTTP headers. An image becomes a row, what may tell rights a note.

A note is a piece of JSON that Python reads: whether it matters is decided there, here only what cannot is left out. Images that
stand elsewhere than in <img> are notes, too, where they are wanted: a mask of the bits in compiled.sources, or None, for which
numba compiles all of this without what is under `wanted is not None`.
"""

import numpy as np
from numba import njit

from pipeline.extract.compiled.json import (
    BACKSLASH,
    CLOSE_LIST,
    CLOSE_OBJECT,
    COLON,
    COMMA,
    OPEN_LIST,
    OPEN_OBJECT,
    QUOTE,
    REFUSED,
    after_space,
    lower,
    plain_key_end,
    same,
    same_letters,
    string_end,
    value_at,
    value_end,
)
from pipeline.extract.compiled.links import IMG, LINK_PAGE, LINK_SOURCE, TEXT_END, TEXT_START, URL_END, URL_START
from pipeline.extract.compiled.others import may_be_open_graph, may_name_image
from pipeline.extract.compiled.simd import LANES, lowest_bit, quotes_or_escapes
from pipeline.extract.compiled.sources import IMAGE_LINK, VIDEO_POSTER

# Columns of a row of `notes`. Kinds are bits, as one object may be noted for two reasons: it may tell the page's rights ("key":
# value of Headers; an object of Metas, Link, Links), or an image besides <img> (an object of Metas, of Links).
NOTE_KIND, NOTE_START, NOTE_END = range(3)
NOTE_COLUMNS = 3
HEADER, META, HEAD_LINK, LINK, OTHER_META, OTHER_LINK = (1 << bit for bit in range(6))
RIGHTS, OTHERS = HEADER | META | HEAD_LINK | LINK, OTHER_META | OTHER_LINK
# Counters of how far the arrays are filled.
N_PAGES, N_LINKS, N_NOTES = range(3)

# The smallest piece of JSON that makes a row, so that the arrays can be made long enough for any buffer: there is no other check.
SMALLEST_LINK_BYTES = len('{"path":"IMG@/src"}')
SMALLEST_NOTE_BYTES = len('{"name":" "}')

_PAST = np.uint64(1 << LANES)
_A, _I, _V = 0x41, 0x49, 0x56


@njit
def read_list(what, data, at, end, wanted, links, notes, counts):
    """Read the list at `at` of objects META, HEAD_LINK or LINK; what is in it besides objects is passed over."""
    if data[at] != OPEN_LIST:
        return REFUSED
    at = after_space(data, at + 1)
    if data[at] == CLOSE_LIST:
        return at + 1
    while True:
        if data[at] != OPEN_OBJECT:
            at = value_end(data, at, end)
        elif what == META:
            at = _read_meta(data, at, end, wanted, notes, counts)
        else:
            passed = _pass_link(data, at, end, wanted)
            at = _read_link(what, data, at, end, wanted, links, notes, counts) if passed == REFUSED else passed
        if at == REFUSED:
            return REFUSED
        at = after_space(data, at)
        if data[at] == CLOSE_LIST:
            return at + 1
        if data[at] != COMMA or at >= end:
            return REFUSED
        at = after_space(data, at + 1)


@njit
def _pass_link(data, at, end, wanted):
    """Index after the object at `at`, where it is plainly nothing that is wanted; else REFUSED.

    Most links are not images. Of those that are written without white space and escapes only the quotes are looked at.
    """
    if not same(data, at, at + 9, b'{"path":"') or data[at + 9] == _I:  # perhaps IMG
        return REFUSED
    if wanted is not None and data[at + 9] == _V and wanted & VIDEO_POSTER:
        return REFUSED
    block, found, before = at, quotes_or_escapes(data, at), at
    while True:
        key, block, found = _next_quote(data, block, found, end)
        key_stop, block, found = _next_quote(data, block, found, end)
        value, block, found = _next_quote(data, block, found, end)
        after, block, found = _next_quote(data, block, found, end)
        if key != before + 1 or data[key_stop + 1] != COLON or value != key_stop + 2 or after >= end:
            return REFUSED
        if (data[key] | data[key_stop] | data[value] | data[after]) != QUOTE or _tells(data, key, key_stop, value, after, at):
            return REFUSED
        if wanted is not None:
            is_target = data[at + 9] == _A and wanted & IMAGE_LINK != 0 and same(data, key + 1, key_stop, b"url")
            if is_target and may_name_image(data, value + 1, after):
                return REFUSED
        before = after + 1
        if data[before] == CLOSE_OBJECT:
            return before + 1
        if data[before] != COMMA:
            return REFUSED


@njit
def _tells(data, key, key_stop, value, after, at):
    """Whether a member of the object at `at` names a licence, or a second path; the others are the places of its quotes."""
    size = key_stop - key - 1
    if size == 3:
        return same(data, key + 1, key_stop, b"rel") and _may_say_license(data, value + 1, after)
    return size == 4 and key > at + 1 and same(data, key + 1, key_stop, b"path")


@njit
def _next_quote(data, block, found, end):
    """The next quote or backslash, after those taken out of `found`, the lanes from `block` on; past `end` anything."""
    while not found and block < end:
        block += LANES
        found = quotes_or_escapes(data, block)
    return block + lowest_bit(found | _PAST), block, found & (found - np.uint64(1))


@njit
def _read_link(what, data, at, end, wanted, links, notes, counts):
    """Read an object of Links or Head.Link: an image becomes a row of `links`, a licence or an image of another kind a note."""
    start, image, licence, poster, target, names_image = at, False, False, False, False, False
    url_start = url_end = text_start = text_end = 0
    at = after_space(data, at + 1)
    if data[at] == CLOSE_OBJECT:
        return at + 1
    while True:
        key = at + 1
        key_stop = plain_key_end(data, at, end)
        if key_stop == REFUSED:
            return REFUSED
        value = value_at(data, key_stop)
        if value == REFUSED:
            return REFUSED
        is_string = data[value] == QUOTE
        at = string_end(data, value + 1, end) if is_string else value_end(data, value, end)
        if at == REFUSED:
            return REFUSED
        size = key_stop - key
        if size == 3 and same(data, key, key_stop, b"url"):
            url_start, url_end = (value + 1, at) if is_string else (0, 0)
            if wanted is not None:
                names_image |= is_string and may_name_image(data, value + 1, at)
        elif size == 3 and same(data, key, key_stop, b"alt"):
            text_start, text_end = (value + 1, at) if is_string else (0, 0)
        elif size == 3 and same(data, key, key_stop, b"rel"):
            licence = is_string and _may_say_license(data, value + 1, at)
        elif size == 4 and same(data, key, key_stop, b"path"):
            image = what == LINK and is_string and same(data, value + 1, at, b"IMG@/src")
            if wanted is not None and what == LINK and is_string:
                poster = wanted & VIDEO_POSTER != 0 and same(data, value + 1, at, b"VIDEO@/poster")
                target = wanted & IMAGE_LINK != 0 and same(data, value + 1, at, b"A@/href")
            if is_string and _has_escape(data, value + 1, at):
                return REFUSED
        at = after_space(data, at + is_string)
        if data[at] == CLOSE_OBJECT:
            break
        if data[at] != COMMA:
            return REFUSED
        at = after_space(data, at + 1)
    if image and licence:
        return REFUSED  # decoding the one would spoil the other
    if image:
        row = links[counts[N_LINKS]]
        row[LINK_PAGE], row[LINK_SOURCE] = counts[N_PAGES], IMG
        row[URL_START], row[URL_END], row[TEXT_START], row[TEXT_END] = url_start, url_end, text_start, text_end
        counts[N_LINKS] += 1
    other = poster or (target and names_image)
    _note(notes, counts, (what if licence else 0) | (OTHER_LINK if other else 0), start, at + 1)
    return at + 1


@njit
def _read_meta(data, at, end, wanted, notes, counts):
    """Read an object of Head.Metas: one whose name may be of interest becomes a note."""
    start, kind = at, 0
    at = after_space(data, at + 1)
    if data[at] == CLOSE_OBJECT:
        return at + 1
    while True:
        key = at + 1
        key_stop, value, at = _read_member(data, at, end)
        if at == REFUSED:
            return REFUSED
        named = same(data, key, key_stop, b"name")
        if named or same(data, key, key_stop, b"http-equiv"):
            kind |= META if data[value] == QUOTE and _may_be_meta(data, value + 1, at - 1) else 0
        if wanted is not None:  # noqa: SIM102 - numba leaves out what stands under a condition of this form alone
            if data[value] == QUOTE and (named or same(data, key, key_stop, b"property")):
                kind |= OTHER_META if may_be_open_graph(data, value + 1, at - 1, wanted) else 0
        at = after_space(data, at)
        if data[at] == CLOSE_OBJECT:
            break
        if data[at] != COMMA:
            return REFUSED
        at = after_space(data, at + 1)
    _note(notes, counts, kind, start, at + 1)
    return at + 1


@njit
def _read_member(data, at, end):
    """Indices of the quote that ends the key at `at`, of its value, and after that; the last is REFUSED where it is none."""
    key_stop = plain_key_end(data, at, end)
    value = REFUSED if key_stop == REFUSED else value_at(data, key_stop)
    return key_stop, value, REFUSED if value == REFUSED else value_end(data, value, end)


@njit
def read_headers(data, at, end, notes, counts):
    """Read the HTTP headers: "key": value of those of interest becomes a note."""
    if data[at] != OPEN_OBJECT:
        return REFUSED
    at = after_space(data, at + 1)
    if data[at] == CLOSE_OBJECT:
        return at + 1
    while True:
        key = at + 1
        key_stop, _, at = _read_member(data, at, end)
        if at == REFUSED:
            return REFUSED
        if _is_header_wanted(data, key, key_stop):
            _note(notes, counts, HEADER, key - 1, at)
        at = after_space(data, at)
        if data[at] == CLOSE_OBJECT:
            return at + 1
        if data[at] != COMMA or at >= end:
            return REFUSED
        at = after_space(data, at + 1)


@njit
def _note(notes, counts, kind, start, end):
    """Note data[start:end], if it is of any kind. One note per object, so that SMALLEST_NOTE_BYTES holds."""
    if not kind:
        return
    row = notes[counts[N_NOTES]]
    row[NOTE_KIND], row[NOTE_START], row[NOTE_END] = kind, start, end
    counts[N_NOTES] += 1


@njit
def _is_header_wanted(data, start, end):
    first = lower(data[start])
    if first == 0x78:
        return same_letters(data, start, end, b"x-robots-tag")
    if first == 0x63:
        return same_letters(data, start, end, b"content-language")
    return first == 0x74 and same_letters(data, start, end, b"tdm-reservation")


@njit
def _may_be_meta(data, start, end):
    """Whether a name, once decoded, trimmed and in lower case, may be one that `rights` reads."""
    if start == end:
        return False
    unusual = data[start] <= 0x20 or data[end - 1] <= 0x20 or data[start] >= 0x80 or data[end - 1] >= 0x80
    if unusual or _has_escape(data, start, end):
        return True
    return (
        same_letters(data, start, end, b"html@/lang")
        or same_letters(data, start, end, b"robots")
        or same_letters(data, start, end, b"x-robots-tag")
        or same_letters(data, start, end, b"content-language")
        or same_letters(data, start, end, b"tdm-reservation")
        or same_letters(data, start, end, b"ccbot")
        or same_letters(data, start, end, b"img2dataset")
        or same_letters(data, start, end, b"webpairs")
    )


@njit
def _may_say_license(data, start, end):
    for at in range(start, end):
        if data[at] == BACKSLASH or (lower(data[at]) == 0x6C and at + 7 <= end and same_letters(data, at, at + 7, b"license")):
            return True
    return False


@njit
def _has_escape(data, start, end):
    for at in range(start, end):
        if data[at] == BACKSLASH:
            return True
    return False
