"""JSON strings decoded where they stand: escapes become UTF-8, which is never longer."""

import numpy as np
from numba import njit

from pipeline.extract.compiled.json import BACKSLASH, ESCAPES, HEX, QUOTE, REFUSED
from pipeline.extract.compiled.simd import LANES, lowest_bit, not_ascii, quotes_or_escapes

_U = 0x75


@njit
def is_decodable(data, start, end):
    """Whether the raw string data[start:end] is good UTF-8 and no escape in it is half of a surrogate pair."""
    at = start
    while at < end:
        found = not_ascii(data, at) | quotes_or_escapes(data, at)
        if not found:
            at += LANES
            continue
        at += lowest_bit(found)
        if at >= end:
            return True
        size = _escape_size(data, at) if data[at] == BACKSLASH else (1 if data[at] == QUOTE else _utf8_size(data, at, end))
        if size == REFUSED:
            return False
        at += size
    return True


@njit
def decode(data, start, end):
    """Decode the raw string data[start:end], which `is_decodable`, in place; index after its last byte."""
    at = start
    found = quotes_or_escapes(data, at)
    while at < end and not found:
        at += LANES
        found = quotes_or_escapes(data, at)
    at = min(end, at + lowest_bit(found)) if at < end else end
    filled = at
    while at < end:
        if data[at] != BACKSLASH:
            data[filled] = data[at]
            filled, at = filled + 1, at + 1
        elif data[at + 1] != _U:
            data[filled] = ESCAPES[data[at + 1]]
            filled, at = filled + 1, at + 2
        else:
            size = _escape_size(data, at)
            code = _unit(data, at)
            if size == 12:
                code = 0x10000 + ((code - 0xD800) << 10) + _unit(data, at + 6) - 0xDC00
            filled, at = _encode(data, filled, code), at + size
    return filled


@njit
def _unit(data, at):
    """The UTF-16 code unit that the escape at `at` names."""
    return HEX[data[at + 2]] << 12 | HEX[data[at + 3]] << 8 | HEX[data[at + 4]] << 4 | HEX[data[at + 5]]


@njit
def _escape_size(data, at):
    """How many bytes the escape at `at` takes, a surrogate pair as one; REFUSED for half a pair."""
    if data[at + 1] != _U:
        return 2
    unit = _unit(data, at)
    if unit < 0xD800 or unit > 0xDFFF:
        return 6
    if unit > 0xDBFF or data[at + 6] != BACKSLASH or data[at + 7] != _U:
        return REFUSED
    return 12 if 0xDC00 <= _unit(data, at + 6) <= 0xDFFF else REFUSED


@njit
def _encode(data, at, code):
    """Write a code point as UTF-8; index after it."""
    if code < 0x80:
        data[at] = code
        return at + 1
    if code < 0x800:
        data[at], data[at + 1] = 0xC0 | code >> 6, 0x80 | code & 0x3F
        return at + 2
    if code < 0x10000:
        data[at], data[at + 1], data[at + 2] = 0xE0 | code >> 12, 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F
        return at + 3
    data[at], data[at + 1] = 0xF0 | code >> 18, 0x80 | code >> 12 & 0x3F
    data[at + 2], data[at + 3] = 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F
    return at + 4


@njit
def _utf8_size(data, at, end):
    """How many bytes the character at `at`, not ASCII, takes; REFUSED where it is not UTF-8 (RFC 3629, 4)."""
    first = data[at]
    if 0xC2 <= first <= 0xDF:
        size, low, high = 2, 0x80, 0xBF
    elif 0xE0 <= first <= 0xEF:
        size, low, high = 3, 0xA0 if first == 0xE0 else 0x80, 0x9F if first == 0xED else 0xBF
    elif 0xF0 <= first <= 0xF4:
        size, low, high = 4, 0x90 if first == 0xF0 else 0x80, 0x8F if first == 0xF4 else 0xBF
    else:
        return REFUSED
    if at + size > end or not low <= data[at + 1] <= high:
        return REFUSED
    for later in range(at + 2, at + size):
        if data[later] & np.uint8(0xC0) != 0x80:
            return REFUSED
    return size
