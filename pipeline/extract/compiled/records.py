"""gzip members → WARC records: libdeflate inflates each where the scanner will read it, one after another in one buffer.

libdeflate is the one inside the package `deflate`, called without Python in between (its symbols are those of its C API); where a
build hides them `MEMBERS_IN_C` is false and each member is inflated through the package's Python function.
"""

import ctypes

import llvmlite.binding as llvm
import numpy as np
from deflate import _deflate
from numba import njit, types

from filters.compiling import entry
from pipeline.extract.compiled.json import lower, same, same_letters

_LIBRARY = _deflate.__file__
_INFLATE, _NEW, _FREE = "libdeflate_gzip_decompress_ex", "libdeflate_alloc_decompressor", "libdeflate_free_decompressor"
llvm.load_library_permanently(_LIBRARY)
MEMBERS_IN_C = all(llvm.address_of_symbol(name) for name in (_INFLATE, _NEW, _FREE))

# Columns of a row of `records`: offset of the member in the file, and where in the buffer target and block stand.
OFFSET, TARGET_START, TARGET_END, BLOCK_START, BLOCK_END = range(5)
RECORD_COLUMNS = 5
# What `inflate_members` counts, and says of where it stopped.
MEMBERS, RECORDS, OTHER_KINDS = range(3)
# Why it stopped: no more bytes or an unsound member; no room in the buffer; a member that is not one plain metadata record.
STOPPED, FULL, IRREGULAR = range(3)

_inflate = types.ExternalFunction(
    _INFLATE, types.int32(types.intp, types.intp, types.intp, types.intp, types.intp, types.intp, types.intp)
)
_INSUFFICIENT_SPACE = 3  # libdeflate.h: enum libdeflate_result
_LF, _CR, _SPACE = 0x0A, 0x0D, 0x20


class Inflater:
    """A decompressor of libdeflate's; not for two threads at once."""

    def __init__(self) -> None:
        library = ctypes.CDLL(_LIBRARY)
        new, self._free = library[_NEW], library[_FREE]
        new.restype, self._free.argtypes, self._free.restype = ctypes.c_void_p, [ctypes.c_void_p], None
        self.address: int = new()
        if not self.address:
            raise MemoryError("libdeflate has no memory for a decompressor")

    def __del__(self) -> None:
        if getattr(self, "address", None):
            self._free(self.address)


@njit
def _metadata_record(data, start, end, record):
    """Fill `record` from data[start:end] where that is one whole WARC record of type metadata: 1; of another type: 0; else -1.

    Types that say of the crawl itself (warcinfo) are left to the caller: -1.
    """
    if end - start < 16 or not same(data, start, start + 5, b"WARC/") or not same(data, end - 4, end, b"\r\n\r\n"):
        return -1
    length, kind, at = -1, -1, start
    record[TARGET_START] = record[TARGET_END] = start
    while True:
        line = at
        while at < end and data[at] != _CR and data[at] != _LF:
            at += 1
        if not same(data, at, at + 2, b"\r\n") or at >= end:
            return -1
        if at == line:
            break
        first = lower(data[line])
        if first == 0x63 and same_letters(data, line, min(line + 16, at), b"content-length: "):
            if length >= 0:
                return -1
            length = _number(data, line + 16, at)
        elif first == 0x77 and same_letters(data, line, min(line + 11, at), b"warc-type: "):
            kind = _kind(data, line + 11, at) if kind < 0 else -2
        elif first == 0x77 and same_letters(data, line, min(line + 16, at), b"warc-target-uri:"):
            twice = record[TARGET_END] > record[TARGET_START]
            if twice or at - line < 18 or data[line + 16] != _SPACE or data[line + 17] <= _SPACE:
                return -1
            record[TARGET_START], record[TARGET_END] = line + 17, at
        at += 2
    if length < 0 or kind < 0 or at + 2 + length + 4 != end:
        return -1
    record[BLOCK_START], record[BLOCK_END] = at + 2, end - 4
    return kind


@njit
def _number(data, start, end):
    value = 0
    for at in range(start, end):
        if not 0x30 <= data[at] <= 0x39 or at - start > 9:
            return -1
        value = value * 10 + data[at] - 0x30
    return value if end > start else -1


@njit
def _kind(data, start, end):
    if same_letters(data, start, end, b"metadata"):
        return 1
    known = same_letters(data, start, end, b"request") or same_letters(data, start, end, b"response")
    return 0 if known else -2


@entry
def inflate_members(inflater, packed, at, base, buffer, filled, room, records, state):
    """Inflate the gzip members of `packed` from `at` on into buffer[filled:room] while they are plain records, one per member.

    `base` is the file offset of packed[0]. Metadata records are written to `records` (n, RECORD_COLUMNS) int64 from row 0;
    `state` (3,) int64 gets MEMBERS, RECORDS, OTHER_KINDS. Returns (reason, index of the first member not taken, filled, inflated,
    index after that member): where the reason is IRREGULAR its bytes are buffer[filled:inflated].
    """
    sizes = np.zeros(2, np.uint64)
    state[:] = 0
    while at < len(packed) and state[RECORDS] < len(records):
        result = _inflate(
            inflater, packed.ctypes.data + at, len(packed) - at, buffer.ctypes.data + filled, room - filled,
            sizes.ctypes.data, sizes.ctypes.data + 8,
        )  # fmt: skip
        if result != 0:
            return (FULL if result == _INSUFFICIENT_SPACE else STOPPED), at, filled, filled, at
        end = filled + np.int64(sizes[1])
        kind = _metadata_record(buffer, filled, end, records[state[RECORDS]])
        if kind < 0:
            return IRREGULAR, at, filled, end, at + np.int64(sizes[0])
        if kind == 1:
            records[state[RECORDS], OFFSET] = base + at
            state[RECORDS] += 1
            filled = end
        else:
            state[OTHER_KINDS] += 1
        state[MEMBERS] += 1
        at += np.int64(sizes[0])
    return (STOPPED if at >= len(packed) else FULL), at, filled, filled, at
