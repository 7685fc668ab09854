"""Some columns of a parquet file at a source → a parquet file of them here: the other columns' bytes are never asked for.

First the footer, which says where each column's pages lie; then those, one request for each run of neighbours, packed one after
the other into a partial file that is taken up where it ended. A part of a file has no sha256 to compare with: every page is
checked against its own checksum (CRC-32) instead, which finds damage, not malice.
"""

import io as memory
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.pull.fetching import counted
from pipeline.pull.partial import Partial, full_disk_told
from pipeline.pull.persisting import Patience
from pipeline.pull.source import ChangedError, PassingError, Source
from pipeline.release.data_files import write_data_file
from schemas.errors import UserError

_TAIL_BYTES = 8  # length of the footer (4, little endian) and the magic PAR1
_MAGIC = b"PAR1"
_MOST_FOOTER_BYTES = 64 << 20
_NO_RANGES = "the server does not send parts of files, which --columns needs; pull whole files, or use another mirror"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Columns of one file of a release."""

    name: str
    columns: Sequence[str]
    rows: int  # of the file, as release.json says
    key: str  # hex digits that name file and columns


@dataclass(frozen=True, kw_only=True)
class _Plan:
    """Where in a file the wanted columns lie, and of which version of it that holds."""

    total: int  # bytes of the whole file
    validator: str
    metadata: pq.FileMetaData
    pieces: tuple[tuple[int, int], ...]  # [start, end) in the file, rising; packed one after the other

    @property
    def bytes_wanted(self) -> int:
        return sum(end - start for start, end in self.pieces)


def fetch_columns(source: Source, wanted: Wanted, target: Path, patience: Patience) -> int:
    """Put what is wanted of a parquet file at `target`, written as a release's files are; the bytes of the whole file.

    A file that is damaged is read once more from the start, past caches. Raises UserError where it still is, or does not come;
    NoRoomError where it does not fit.
    """
    error: Exception | None = None
    for anew in (False, True):
        with Partial(target, wanted.key) as part:
            if anew:
                part.restart()
            plan = _download(_Reader(source, wanted.name, patience, anew), part, wanted.columns)
            try:
                _rewrite(plan, part, target, wanted)
            except (pa.ArrowException, OSError, ValueError) as damage:
                io.require_room(str(target), damage)
                error = damage
                part.discard()
                continue
            part.discard()
            return plan.total
    raise UserError(f"its columns are damaged ({error}); they were downloaded twice, so the source's copy is damaged") from error


def _download(reader: "_Reader", part: Partial, columns: Sequence[str]) -> _Plan:
    """Complete the partial file with the pages of the columns."""
    plans: list[_Plan] = []

    def attempt() -> None:
        try:
            plan = reader.plan(columns)
            if not plan.validator or (part.validator, part.total) != (plan.validator, plan.total):
                part.restart(plan.validator, plan.total, needed=2 * plan.bytes_wanted)  # packed, and rewritten
            for start, end in _missing(plan, part.position):
                for block in reader.range(start, end, plan.validator, plan.total):
                    part.append(block)
            plans[:] = [plan]
        except ChangedError:
            part.restart()
            raise

    if part.position:
        reader.patience.tally.add(resumed=1)
    reader.patience.persist(attempt, lambda: part.position)
    return plans[0]


def _missing(plan: _Plan, position: int) -> Iterator[tuple[int, int]]:
    """What remains of the pieces after the first `position` bytes of them."""
    for start, end in plan.pieces:
        here = min(position, end - start)
        position -= here
        if start + here < end:
            yield start + here, end


@dataclass(frozen=True)
class _Reader:
    """One file of a source, read in pieces."""

    source: Source
    name: str
    patience: Patience
    anew: bool

    def plan(self, columns: Sequence[str]) -> _Plan:
        """Read the footer. Raises PassingError where it does not come whole, UserError where it is no parquet file's."""
        with self.source.open(self.name, -_TAIL_BYTES, anew=self.anew) as opened:
            total, validator = opened.total, opened.validator
            if total is None or (opened.start == 0 and total > _TAIL_BYTES):
                raise UserError(_NO_RANGES)
            tail = b"".join(counted(opened, self.patience))
        if len(tail) != min(_TAIL_BYTES, total):
            raise PassingError(f"{len(tail)} of its last {_TAIL_BYTES} bytes came")
        length = int.from_bytes(tail[:4], "little")
        if tail[4:] != _MAGIC or not 0 < length <= min(_MOST_FOOTER_BYTES, total - _TAIL_BYTES):
            raise UserError("does not end as a parquet file does; the source's copy is damaged")
        begin = total - _TAIL_BYTES - length
        footer = b"".join(self.range(begin, begin + length, validator, total))
        try:
            metadata = pq.read_metadata(memory.BytesIO(_MAGIC + footer + tail))
            pieces = _pieces(metadata, columns, begin)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UserError(f"its footer is damaged ({error}); the source's copy is damaged") from error
        return _Plan(total=total, validator=validator, metadata=metadata, pieces=pieces)

    def range(self, start: int, end: int, validator: str, total: int) -> Iterator[bytes]:
        """The bytes [start, end). Raises ChangedError where the file is another version by now."""
        with self.source.open(self.name, start, end, validator=validator, anew=self.anew) as opened:
            if (opened.validator, opened.total) != (validator, total):
                raise ChangedError("the file has changed meanwhile")
            if opened.start != start:
                raise UserError(_NO_RANGES)
            for block in counted(opened, self.patience):
                yield block[: end - start]
                start += len(block)
                if start >= end:
                    return
        raise PassingError(f"it ended {end - start} bytes early")


def _pieces(metadata: pq.FileMetaData, columns: Sequence[str], end_of_data: int) -> tuple[tuple[int, int], ...]:
    """Where the columns' pages are, neighbours joined. Raises ValueError where that is outside of the file, or overlaps."""
    chunks = []
    leaves = [_top(metadata.schema.column(number).path) for number in range(metadata.num_columns)]
    for group, (number, leaf) in itertools.product(range(metadata.num_row_groups), enumerate(leaves)):
        if leaf in columns:
            chunk = metadata.row_group(group).column(number)
            first = min(chunk.data_page_offset, chunk.dictionary_page_offset or chunk.data_page_offset)
            chunks.append((first, first + chunk.total_compressed_size))
    joined: list[tuple[int, int]] = []
    for start, end in sorted(chunks):
        if not (joined[-1][1] if joined else 4) <= start < end <= end_of_data:
            raise ValueError(f"a column's pages are at bytes {start} to {end}")
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return tuple(joined)


def _top(path: str) -> str:
    """The column that a leaf belongs to: robots.list.element → robots."""
    return path.split(".", 1)[0]


def _rewrite(plan: _Plan, part: Partial, target: Path, wanted: Wanted) -> None:
    """The packed pages as a parquet file in the layout of a release's, under its name."""
    with open(part.path, "rb") as packed:
        source = pa.PythonFile(_Packed(packed, plan), mode="r")
        file = pq.ParquetFile(source, metadata=plan.metadata, pre_buffer=False, page_checksum_verification=True)
        if file.metadata.num_rows != wanted.rows:
            raise ValueError(f"has {file.metadata.num_rows:,} rows, release.json says {wanted.rows:,}")
        names = [name for name in file.schema_arrow.names if name in wanted.columns]
        missing = sorted(set(wanted.columns) - set(names))
        if missing:
            raise ValueError(f"has no column {', '.join(missing)}")
        schema = pa.schema([file.schema_arrow.field(name) for name in names])
        with full_disk_told(target), open(part.beside, "wb") as written:
            write_data_file(written, schema, _tables(file, names))
        os.replace(part.beside, target)


def _tables(file: pq.ParquetFile, columns: list[str]) -> Iterable[pa.Table]:
    for group in range(file.metadata.num_row_groups):
        yield file.read_row_group(group, columns=columns, use_threads=False)


class _Packed(memory.RawIOBase):
    """The pieces of a file at the places where they are in the whole file; nothing else of it can be read."""

    def __init__(self, packed: Any, plan: _Plan) -> None:
        super().__init__()
        self._file, self._total = packed, plan.total
        self._position = 0
        lengths = [end - start for start, end in plan.pieces]
        self._pieces = list(zip(plan.pieces, itertools.accumulate(lengths, initial=0), strict=False))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = 0) -> int:
        self._position = offset + (0, self._position, self._total)[whence]
        return self._position

    def read(self, size: int = -1) -> bytes:
        """`size` bytes of one piece. Raises OSError for what was not downloaded."""
        for (start, end), place in self._pieces:
            if start <= self._position and self._position + size <= end and size >= 0:
                self._file.seek(place + self._position - start)
                found = bytes(self._file.read(size))
                self._position += len(found)
                return found
        raise OSError(f"bytes {self._position} to {self._position + size} belong to no column that was asked for")
