"""WAT file → batches of its metadata records, side by side in one buffer, as the compiled scanner reads them.

A WAT is one gzip member per record. Those are inflated straight into the buffer; whatever is not that (damage, many records in a
member, a record over many, wrong lengths, zstd, plain text) is put together in Python and copied there.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator

import numpy as np
import numpy.typing as npt

from pipeline.extract.compiled.links import LINK_COLUMNS
from pipeline.extract.compiled.pages import PAGE_COLUMNS
from pipeline.extract.compiled.parts import NOTE_COLUMNS, SMALLEST_LINK_BYTES, SMALLEST_NOTE_BYTES
from pipeline.extract.compiled.records import (
    BLOCK_END,
    BLOCK_START,
    FULL,
    IRREGULAR,
    MEMBERS,
    MEMBERS_IN_C,
    OFFSET,
    RECORD_COLUMNS,
    RECORDS,
    TARGET_END,
    TARGET_START,
    Inflater,
    inflate_members,
)
from pipeline.extract.members import GZIP_SIGN, SPAN_BYTES, GzipMembers, Joint, Piece, read_pieces
from pipeline.extract.records import Record, RecordAssembler, read_records
from pipeline.extract.window import Window

_ROOM_BYTES = 2 << 20  # about what a core's cache holds
_MOST_ROOM_BYTES = 34 << 20  # a record has at most 32 MiB
_MOST_RECORDS = 4096
_PAD_BYTES = 128  # the scanner looks ahead

Ints = npt.NDArray[np.int64]
Tell = Callable[[Record], None]


class Batch:
    """Records in a buffer, and the arrays for what the scanner finds in them, large enough for whatever stands in the buffer."""

    def __init__(self, room: int = _ROOM_BYTES) -> None:
        self.room = room
        self.buffer = np.zeros(room + _PAD_BYTES, np.uint8)
        self.records: Ints = np.zeros((_MOST_RECORDS, RECORD_COLUMNS), np.int64)
        self.pages: Ints = np.zeros((_MOST_RECORDS, PAGE_COLUMNS), np.int64)
        self.links: Ints = np.zeros((room // SMALLEST_LINK_BYTES + 1, LINK_COLUMNS), np.int64)
        self.notes: Ints = np.zeros((room // SMALLEST_NOTE_BYTES + 1, NOTE_COLUMNS), np.int64)
        self.count = 0
        self.filled = 0

    def clear(self) -> "Batch":
        """Empty it."""
        self.count = self.filled = 0
        return self

    def fits(self, record: Record) -> bool:
        """Whether there is room for another record."""
        needed = len(record.target) + len(record.block) + _PAD_BYTES
        return self.count < _MOST_RECORDS and self.filled + needed <= self.room

    def add(self, record: Record) -> None:
        """Copy a record in."""
        target_end = self.filled + len(record.target)
        block_end = target_end + len(record.block)
        self.buffer[self.filled : target_end] = np.frombuffer(record.target, np.uint8)
        self.buffer[target_end:block_end] = np.frombuffer(record.block, np.uint8)
        self.filled = block_end + _PAD_BYTES
        self.buffer[block_end : self.filled] = 0
        row = self.records[self.count]
        row[[OFFSET, TARGET_START, TARGET_END]] = record.offset, target_end - len(record.target), target_end
        row[[BLOCK_START, BLOCK_END]] = target_end, block_end
        self.count += 1

    def record(self, number: int) -> Record:
        """A record copied out; its kind is metadata."""
        offset, *spans = self.records[number].tolist()
        return Record(offset, b"metadata", self.bytes(*spans[:2]), self.bytes(*spans[2:]))

    def bytes(self, start: int, end: int) -> bytes:
        """The bytes of a span."""
        return self.buffer[start:end].tobytes()


def read_batches(window: Window, path: str, tally: Counter[str], tell: Tell) -> Iterator[Batch]:
    """All metadata records of the file `path` in order; a batch is good until the next one is asked for.

    A record of another kind is handed to `tell` when all batches before it have been read. Counts what GzipMembers and
    RecordAssembler count. Raises UserError where the file is no WAT.
    """
    if MEMBERS_IN_C and window.starts_with(GZIP_SIGN, 0):
        yield from _GzipReader(window, tally, tell).batches()
        return
    batch = Batch()
    for record in read_records(read_pieces(window, path, tally), tally):
        batch = yield from _take(record, batch, tell)
    yield batch


def _take(record: Record, batch: Batch, tell: Tell) -> Generator[Batch, None, Batch]:
    """Put a record into `batch`, or a larger one, after whatever is full or must be read before it."""
    if record.kind not in (b"metadata", b"warcinfo"):
        return batch
    if record.kind != b"metadata" or not batch.fits(record):
        yield batch
        batch.clear()
    if record.kind != b"metadata":
        tell(record)
        return batch
    if not batch.fits(record):
        batch = Batch(len(record.target) + len(record.block) + 2 * _PAD_BYTES)
    batch.add(record)
    return batch


class _GzipReader:
    def __init__(self, window: Window, tally: Counter[str], tell: Tell) -> None:
        self._window = window
        self._tally = tally
        self._tell = tell
        self._batch = Batch()
        self._members = GzipMembers(window, tally)
        self._assembler = RecordAssembler(tally)
        self._inflater = Inflater()

    def batches(self) -> Iterator[Batch]:
        while self._members.more():
            if self._assembler.waits:
                yield from self._read_in_python(self._members.pieces())
            else:
                yield from self._inflate()
        yield from self._add(self._assembler.finish())
        yield self._batch

    def _inflate(self) -> Iterator[Batch]:
        """As many members as are plain records, and what to do with the one that is not."""
        window, batch, at = self._window, self._batch, self._members.at
        state = np.zeros(3, np.int64)
        reason, after, filled, inflated, following = inflate_members(
            self._inflater.address,
            np.frombuffer(window.data, np.uint8),
            at - window.base,
            window.base,
            batch.buffer,
            batch.filled,
            batch.room,
            batch.records[batch.count :],
            state,
        )
        batch.count += int(state[RECORDS])
        batch.filled = filled
        self._tally["records"] += int(state[MEMBERS])
        if state[MEMBERS]:
            self._members.skip_to(window.base + after)
        if reason == IRREGULAR:
            piece = Piece(window.base + after, batch.bytes(filled, inflated), Joint.MEMBER)
            self._members.skip_to(window.base + following)
            yield from self._read_in_python([piece])
        elif reason == FULL and batch.count:
            yield batch
            self._batch = batch.clear() if batch.room == _ROOM_BYTES else Batch()
        elif reason == FULL and batch.room < _MOST_ROOM_BYTES:
            self._batch = Batch(2 * batch.room)
        elif after < len(window.data):
            yield from self._read_unsound()

    def _read_unsound(self) -> Iterator[Batch]:
        """A member that libdeflate does not take: cut off by the window's end, too large, or damaged."""
        at = self._members.at
        if not self._window.ended and self._window.end - at < SPAN_BYTES:
            self._window.fill(keep=at)
        else:
            yield from self._read_in_python(self._members.pieces())

    def _read_in_python(self, pieces: Iterable[Piece]) -> Iterator[Batch]:
        for piece in pieces:
            yield from self._add(self._assembler.push(piece))

    def _add(self, records: Iterable[Record]) -> Iterator[Batch]:
        for record in records:
            self._batch = yield from _take(record, self._batch, self._tell)
