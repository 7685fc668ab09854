"""Pieces → WARC records. A wrong Content-Length is mended by looking for the next record, and costs nothing."""

import re
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from typing import NamedTuple

from pipeline.extract.members import RECORD_END, WARC_SIGN, Joint, Piece

_MAX_RECORD_BYTES = 32 << 20
_NEXT_RECORD = RECORD_END + WARC_SIGN
_TYPE = re.compile(rb"^WARC-Type:[ \t]*([\w-]+)", re.IGNORECASE | re.MULTILINE)
_LENGTH = re.compile(rb"^Content-Length:[ \t]*(\d{1,15})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_TARGET = re.compile(rb"^WARC-Target-URI:(.*)$", re.IGNORECASE | re.MULTILINE)


class Record(NamedTuple):
    """One WARC record: offset of its member in the file (bytes), WARC-Type in lower case, WARC-Target-URI, block."""

    offset: int
    kind: bytes
    target: bytes
    block: bytes


def read_records(pieces: Iterable[Piece], tally: Counter[str]) -> Iterator[Record]:
    """The records of a file in order.

    Counts in `tally`: `records`, `records_wrong_length`, `records_without_header` (bytes that begin no record),
    `records_too_long` (over 32 MiB), `records_cut_short` (the file, or what of it is sound, ends inside the record).
    """
    pending, offset, searched = bytearray(), 0, 0
    for piece in pieces:
        if piece.joint is Joint.MEMBER and bytes(piece.data[:5]) == WARC_SIGN:
            yield from _last_records(pending, offset, tally)
            pending, offset, searched = _owned(piece.data), piece.offset, 0
        elif piece.joint is Joint.GAP and piece.offset != offset:  # the broken member is another one
            yield from _last_records(pending, offset, tally)
            pending, offset, searched = bytearray(), piece.offset, 0
        else:  # a record may also run on over members (BGZF cuts every 64 KiB)
            pending += piece.data
            rest = yield from _whole_records(pending, offset, tally, searched)
            del pending[:rest]
            offset = piece.offset if rest else offset
            searched = len(pending)
            if piece.joint is Joint.GAP:
                pending, searched = bytearray(), 0
            elif len(pending) > _MAX_RECORD_BYTES:
                tally["records_too_long"] += 1
                pending, searched = bytearray(), 0
    yield from _last_records(pending, offset, tally)


def _owned(data: bytes | bytearray | memoryview) -> bytearray:
    return data if isinstance(data, bytearray) else bytearray(data)


def _whole_records(data: bytearray, offset: int, tally: Counter[str], searched: int = 0) -> Generator[Record, None, int]:
    """The records in `data` that another record follows; returns where the first other one begins.

    The first `searched` bytes are known to hold no record that another follows.
    """
    at = 0
    while True:
        following = data.find(_NEXT_RECORD, max(at, searched - len(_NEXT_RECORD)))
        if not data.startswith(WARC_SIGN, at):
            if following < 0:
                return max(at, len(data) - len(_NEXT_RECORD))
            tally["records_without_header"] += 1
        else:
            head_end = data.find(RECORD_END, at)
            length = _length(data, at, head_end) if following >= 0 else None
            stated = -1 if length is None else head_end + len(RECORD_END) + length
            if data.startswith(_NEXT_RECORD, stated) and stated >= 0:
                following = stated
            elif following < 0:
                return at
            else:
                tally["records_wrong_length"] += 1
            tally["records"] += 1
            yield _record(data, slice(at, head_end), slice(head_end + len(RECORD_END), following), offset)
        at = following + len(RECORD_END)


def _last_records(data: bytearray, offset: int, tally: Counter[str]) -> Iterator[Record]:
    """All records in `data`, the last one ending where `data` ends."""
    at = yield from _whole_records(data, offset, tally)
    if at == len(data):
        return
    head_end = data.find(RECORD_END, at)
    if not data.startswith(WARC_SIGN, at) or head_end < 0:
        tally["records_without_header"] += 1
        return
    start = head_end + len(RECORD_END)
    length = _length(data, at, head_end)
    end = len(data) if length is None else start + length
    if end > len(data) and not data.endswith(RECORD_END):
        tally["records_cut_short"] += 1
        return
    if length is None or data[end:].strip() or end > len(data):
        tally["records_wrong_length"] += 1
        end = len(data)
    tally["records"] += 1
    yield _record(data, slice(at, head_end), slice(start, end), offset)


def _length(data: bytearray, at: int, head_end: int) -> int | None:
    found = _LENGTH.search(data, at, head_end)
    return int(found[1]) if found else None


def _record(data: bytearray, head: slice, block: slice, offset: int) -> Record:
    kind, target = _TYPE.search(data, head.start, head.stop), _TARGET.search(data, head.start, head.stop)
    # Copied: a memoryview would pin `data`, which is cut while its records are read.
    return Record(offset, kind[1].lower() if kind else b"", target[1].strip() if target else b"", bytes(data[block]))
