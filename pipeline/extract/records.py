"""Pieces → WARC records. A wrong Content-Length is mended by looking for the next record, and costs nothing."""

import re
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import NamedTuple

from pipeline.extract.members import RECORD_END, WARC_SIGN, Joint, Piece

_MAX_RECORD_BYTES = 32 << 20
_MAX_HEAD_BYTES = 64 << 10  # as a head is looked for with every piece
_NEXT_RECORD = RECORD_END + WARC_SIGN
_TYPE = re.compile(rb"^WARC-Type:[ \t]*([\w-]+)", re.IGNORECASE | re.MULTILINE)
_LENGTH = re.compile(rb"^Content-Length:[ \t]*(\d{1,15})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_TARGET = re.compile(rb"^WARC-Target-URI:(.*)$", re.IGNORECASE | re.MULTILINE)


OffsetAt = Callable[[int], int]


class Record(NamedTuple):
    """One WARC record: offset of its member in the file (bytes), WARC-Type in lower case, WARC-Target-URI, block."""

    offset: int
    kind: bytes
    target: bytes
    block: bytes


class RecordAssembler:
    """Puts records together from pieces.

    Counts in `tally`: `records`, `records_wrong_length`, `records_without_header` (bytes that begin no record),
    `records_too_long` (over 32 MiB), `records_cut_short` (the file, or what of it is sound, ends inside the record).
    """

    def __init__(self, tally: Counter[str]) -> None:
        self._tally = tally
        self._pending = bytearray()
        # Where members begin, in bytes since `finish`, and their offsets in the file. Members may be of a byte: no objects.
        self._starts, self._offsets = array("q"), array("q")
        self._gone = 0  # how many of those bytes are no longer in `pending`
        self._searched = 0

    @property
    def waits(self) -> bool:
        """Whether something was begun that the next piece may complete."""
        return bool(self._pending)

    def push(self, piece: Piece) -> Iterator[Record]:
        """The records that are complete now that `piece` has come."""
        begins = piece.joint is Joint.MEMBER and bytes(piece.data[: len(WARC_SIGN)]) == WARC_SIGN
        another_is_broken = piece.joint is Joint.GAP and piece.offset != self._offset_at(len(self._pending))
        if begins or another_is_broken:
            yield from self.finish()
        if piece.joint is not Joint.WITHIN or not self._starts:
            self._starts.append(self._gone + len(self._pending))
            self._offsets.append(piece.offset)
        if begins:
            self._pending = _owned(piece.data)
        elif not another_is_broken:  # a record may also run on over members (BGZF cuts every 64 KiB)
            self._pending += piece.data
            self._forget((yield from _whole_records(self._pending, self._offset_at, self._tally, self._searched)))
            if piece.joint is Joint.GAP:
                self._forget(len(self._pending))
            elif len(self._pending) > _MAX_RECORD_BYTES:
                self._tally["records_too_long"] += 1
                self._forget(len(self._pending))
        if _is_whole(self._pending):
            yield from self.finish()

    def finish(self) -> Iterator[Record]:
        """The records in what is left: nothing follows it."""
        yield from _last_records(self._pending, self._offset_at, self._tally)
        self._pending, self._searched, self._gone = bytearray(), 0, 0
        del self._starts[:], self._offsets[:]

    def _forget(self, count: int) -> None:
        """Drop the first bytes of what is pending; the rest was searched."""
        del self._pending[:count]
        self._gone += count
        self._searched = len(self._pending)
        held = self._member_at(0)
        if held > 0:
            del self._starts[:held], self._offsets[:held]

    def _offset_at(self, place: int) -> int:
        """The offset in the file of the member that holds a place of what is pending."""
        held = self._member_at(place)
        return self._offsets[held] if held >= 0 else -1

    def _member_at(self, place: int) -> int:
        return bisect_right(self._starts, self._gone + place) - 1


def read_records(pieces: Iterable[Piece], tally: Counter[str]) -> Iterator[Record]:
    """The records of a file in order, counted as RecordAssembler does."""
    assembler = RecordAssembler(tally)
    for piece in pieces:
        yield from assembler.push(piece)
    yield from assembler.finish()


def _is_whole(data: bytearray) -> bool:
    """Whether `data` is one record and the end of its Content-Length is the end of `data`."""
    if not data.startswith(WARC_SIGN) or not data.endswith(RECORD_END):
        return False
    head_end = data.find(RECORD_END, 0, _MAX_HEAD_BYTES)
    length = _length(data, 0, head_end)
    return length is not None and head_end + length + 2 * len(RECORD_END) == len(data)


def _owned(data: bytes | bytearray | memoryview) -> bytearray:
    return data if isinstance(data, bytearray) else bytearray(data)


def _whole_records(data: bytearray, offset_at: OffsetAt, tally: Counter[str], searched: int = 0) -> Generator[Record, None, int]:
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
            head_end = data.find(RECORD_END, at, at + _MAX_HEAD_BYTES)
            length = _length(data, at, head_end) if following >= 0 else None
            stated = -1 if length is None else head_end + len(RECORD_END) + length
            if stated >= 0 and data.startswith(RECORD_END, stated):
                following = stated
            elif following < 0:
                return at
            elif head_end >= 0:
                tally["records_wrong_length"] += 1
            tally["records" if head_end >= 0 else "records_without_header"] += 1
            if head_end >= 0:
                yield _record(data, slice(at, head_end), slice(head_end + len(RECORD_END), following), offset_at(at))
        at = following + len(RECORD_END)


def _last_records(data: bytearray, offset_at: OffsetAt, tally: Counter[str]) -> Iterator[Record]:
    """All records in `data`, the last one ending where `data` ends."""
    at = yield from _whole_records(data, offset_at, tally)
    if at == len(data):
        return
    head_end = data.find(RECORD_END, at, at + _MAX_HEAD_BYTES)
    if not data.startswith(WARC_SIGN, at) or head_end < 0:
        tally["records_without_header"] += 1
        return
    start = head_end + len(RECORD_END)
    length = _length(data, at, head_end)
    end = len(data) if length is None else start + length
    if end > len(data) and not data.endswith(RECORD_END):
        tally["records_cut_short"] += 1
        return
    if length is not None and data.startswith(RECORD_END, end):
        if data[end:].strip():
            tally["records_without_header"] += 1
    elif length is None or data[end:].strip() or end > len(data):
        tally["records_wrong_length"] += 1
        end = len(data)
    tally["records"] += 1
    yield _record(data, slice(at, head_end), slice(start, end), offset_at(at))


def _length(data: bytearray, at: int, head_end: int) -> int | None:
    found = _LENGTH.search(data, at, head_end)
    return int(found[1]) if found else None


def _record(data: bytearray, head: slice, block: slice, offset: int) -> Record:
    kind, target = _TYPE.search(data, head.start, head.stop), _TARGET.search(data, head.start, head.stop)
    # Copied: a memoryview would pin `data`, which is cut while its records are read.
    return Record(offset, kind[1].lower() if kind else b"", target[1].strip() if target else b"", bytes(data[block]))
