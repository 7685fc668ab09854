"""Strict JSON (RFC 8259), walked in place: where a value ends, without building it.

Positions are indices in a uint8 array. REFUSED stands for "not what this reader takes": broken, or only unusual (numbers of many
digits, nesting deeper than 60). Bad UTF-8 and raw control characters inside strings pass: they do not change where a string ends.
"""

import numpy as np
from numba import njit

from pipeline.extract.compiled.simd import LANES, lowest_bit, quotes_or_escapes

REFUSED = -1
QUOTE, BACKSLASH, COLON, COMMA = 0x22, 0x5C, 0x3A, 0x2C
OPEN_OBJECT, CLOSE_OBJECT, OPEN_LIST, CLOSE_LIST = 0x7B, 0x7D, 0x5B, 0x5D
_MINUS, _DOT, _ZERO, _NINE, _U = 0x2D, 0x2E, 0x30, 0x39, 0x75
_MOST_DEEP = 60
_MOST_DIGITS = 15  # as many as every JSON reader takes for what they are

# What may follow a backslash, but for u.
ESCAPES = np.zeros(256, np.uint8)
for _code, _meant in zip(b'"\\/bfnrt', b'"\\/\b\f\n\r\t', strict=True):
    ESCAPES[_code] = _meant
HEX = np.full(256, -1, np.int64)
for _value, _digit in enumerate("0123456789abcdef"):
    HEX[ord(_digit)] = HEX[ord(_digit.upper())] = _value


@njit
def after_space(data, at):
    """The first index from `at` on that holds no JSON white space."""
    while data[at] <= 0x20 and (data[at] == 0x20 or data[at] == 0x0A or data[at] == 0x0D or data[at] == 0x09):
        at += 1
    return at


@njit
def string_end(data, at, end):
    """Index of the quote that ends the string whose first byte is at `at`; REFUSED where none does before `end`."""
    while at < end:
        found = quotes_or_escapes(data, at)
        if not found:
            at += LANES
            continue
        at += lowest_bit(found)
        if at >= end:
            return REFUSED
        if data[at] == QUOTE:
            return at
        if data[at + 1] == _U:
            if HEX[data[at + 2]] < 0 or HEX[data[at + 3]] < 0 or HEX[data[at + 4]] < 0 or HEX[data[at + 5]] < 0:
                return REFUSED
            at += 6
        elif ESCAPES[data[at + 1]]:
            at += 2
        else:
            return REFUSED
    return REFUSED


@njit
def plain_key_end(data, at, end):
    """Index of the quote that ends the key whose opening quote is at `at`; REFUSED where there is none, or an escape in it."""
    if data[at] != QUOTE:
        return REFUSED
    at += 1
    found = quotes_or_escapes(data, at)
    while not found and at < end:
        at += LANES
        found = quotes_or_escapes(data, at)
    at += lowest_bit(found) if found else 0
    return at if at < end and data[at] == QUOTE else REFUSED


@njit
def value_at(data, at):
    """Index of the value of the key whose closing quote is at `at`; REFUSED where no colon stands between."""
    at = after_space(data, at + 1)
    return after_space(data, at + 1) if data[at] == COLON else REFUSED


@njit
def value_end(data, at, end):
    """Index after the value at `at`."""
    objects, depth = np.uint64(0), 0  # bit 0: whether the innermost of `depth` open ones is an object
    while True:
        code = data[at]
        if code == QUOTE:
            at = string_end(data, at + 1, end) + 1
            if at == REFUSED + 1:
                return REFUSED
        elif code == OPEN_OBJECT or code == OPEN_LIST:
            inner = after_space(data, at + 1)
            if data[inner] == code + 2:  # its closing one, in ASCII
                at = inner + 1
            elif depth == _MOST_DEEP:
                return REFUSED
            else:
                objects, depth = (objects << np.uint64(1)) | np.uint64(code == OPEN_OBJECT), depth + 1
                at = _first_value(data, inner, end) if code == OPEN_OBJECT else inner
                if at == REFUSED:
                    return REFUSED
                continue
        else:
            at = _scalar_end(data, at)
            if at == REFUSED:
                return REFUSED
        while depth:  # what closes after the value
            in_object = objects & np.uint64(1)
            at = after_space(data, at)
            if data[at] == COMMA:
                break
            if data[at] != (CLOSE_OBJECT if in_object else CLOSE_LIST):
                return REFUSED
            objects, depth, at = objects >> np.uint64(1), depth - 1, at + 1
        if depth == 0:
            return at if at <= end else REFUSED
        at = after_space(data, at + 1)
        at = _first_value(data, at, end) if objects & np.uint64(1) else at
        if at == REFUSED or at >= end:
            return REFUSED


@njit
def same(data, start, end, wanted):
    """Whether data[start:end] equals the bytes `wanted`."""
    if end - start != len(wanted):
        return False
    for place in range(len(wanted)):
        if data[start + place] != wanted[place]:
            return False
    return True


@njit
def same_letters(data, start, end, wanted):
    """The same in any case of ASCII; `wanted` must be in lower case."""
    if end - start != len(wanted):
        return False
    for place in range(len(wanted)):
        if lower(data[start + place]) != wanted[place]:
            return False
    return True


@njit
def lower(code):
    """A byte, in lower case where it is an ASCII letter."""
    return code + 0x20 if 0x41 <= code <= 0x5A else code


@njit
def _first_value(data, at, end):
    """Index of the value of the key that begins at `at`."""
    at = string_end(data, at + 1, end) if data[at] == QUOTE else REFUSED
    return REFUSED if at == REFUSED else value_at(data, at)


@njit
def _scalar_end(data, at):
    if same(data, at, at + 4, b"true") or same(data, at, at + 4, b"null"):
        return at + 4
    if same(data, at, at + 5, b"false"):
        return at + 5
    if data[at] == _MINUS:
        at += 1
    start = at
    while _ZERO <= data[at] <= _NINE:
        at += 1
    if at == start or at - start > _MOST_DIGITS or (data[start] == _ZERO and at - start > 1):
        return REFUSED
    if data[at] == _DOT:
        start = at + 1
        at = start
        while _ZERO <= data[at] <= _NINE:
            at += 1
        if at == start or at - start > _MOST_DIGITS:
            return REFUSED
    return REFUSED if data[at] == 0x65 or data[at] == 0x45 else at
