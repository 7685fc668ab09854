"""WAT file → pieces of uncompressed bytes: gzip (a member per record, or many), zstd or plain, damage skipped.

This is the way that takes anything: zlib streams a gzip member of any size and says where it ends. The usual members of a WAT
never come here; `batches` inflates them faster.
"""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from enum import Enum, auto
from typing import NamedTuple

import zstandard

from pipeline.extract.window import Window
from schemas.errors import UserError

GZIP_SIGN = b"\x1f\x8b\x08"  # RFC 1952: ID1, ID2, CM = deflate
ZSTD_SIGN = b"\x28\xb5\x2f\xfd"  # RFC 8878
WARC_SIGN = b"WARC/"
RECORD_END = b"\r\n\r\n"
SPAN_BYTES = 8 << 20  # how far ahead is looked for the end of something
_PIECE_BYTES = 1 << 20
_MOST_READ_AGAIN_BYTES = 64 << 20  # of a file: signs of members inside broken members
_FEED_BYTES = 256 << 10
_ZEROS = re.compile(rb"\0*")
_ZSTD_FEED_BYTES = 8 << 10  # zstd cannot bound its output, so its input is kept small


class Joint(Enum):
    """How a piece follows on the one before."""

    MEMBER = auto()  # begins a member
    WITHIN = auto()  # goes on in the same member
    GAP = auto()  # empty: here something is missing, what was begun cannot be completed


class Piece(NamedTuple):
    """Uncompressed bytes, and the offset in the file of the member they come from."""

    offset: int
    data: bytes | bytearray | memoryview
    joint: Joint


class MemberError(Exception):
    """A member that cannot be inflated; `reached`: the offset up to which it was read."""

    def __init__(self, reached: int) -> None:
        super().__init__(reached)
        self.reached = reached


class TruncationError(MemberError):
    """The file ends inside a member."""


def read_pieces(window: Window, path: str, tally: Counter[str]) -> Iterator[Piece]:
    """All that can be inflated of the file `path`, in order. Counts `damaged_members` and `truncated_files` in `tally`.

    Raises UserError where the file is empty or neither gzip, zstd nor plain WARC.
    """
    if not window.reaches(0, keep=0):
        raise UserError(f"{path}: the file is empty")
    if window.starts_with(GZIP_SIGN, 0):
        members = GzipMembers(window, tally)
        while members.more():
            yield from members.pieces()
    elif window.starts_with(ZSTD_SIGN, 0):
        yield from _zstd_pieces(window, tally)
    elif window.starts_with(WARC_SIGN, 0):
        yield from _plain_pieces(window)
    else:
        raise UserError(f"{path}: not a WAT: begins neither as gzip or zstd nor with WARC/")


class GzipMembers:
    """The members of a gzip file one by one, past padding and damage. Counts `damaged_members`, `truncated_files` in `tally`."""

    def __init__(self, window: Window, tally: Counter[str]) -> None:
        self.at = 0  # offset of the next member
        self._window = window
        self._tally = tally
        self._sound = True
        self._read_again = 0

    def more(self) -> bool:
        """Whether the file goes on."""
        return self._window.reaches(self.at, keep=self.at)

    def skip_to(self, at: int) -> None:
        """Go on at `at`: the members before it were read elsewhere, and were sound."""
        self.at, self._sound = at, True

    def pieces(self) -> Iterator[Piece]:
        """The next member's pieces; an empty GAP in the place of what cannot be read."""
        self.at = _after_padding(self._window, start := self.at)
        if self.at > start or not self.more():
            return
        try:
            self.at = yield from _stream(self._window, self.at, zlib.decompressobj(wbits=31))
            self._sound = True
        except MemberError as error:
            yield Piece(self.at, b"", Joint.GAP)
            self.at = self._after_damage(error)
            self._sound = False

    def _after_damage(self, error: MemberError) -> int:
        """The next header after the broken member, counting the damage once however many false headers it holds.

        Where every false header is followed by much that can be inflated, the time would grow with the square of the file's size.
        """
        window = self._window
        self._read_again += error.reached - self.at
        start = max(self.at + 1 if self._read_again <= _MOST_READ_AGAIN_BYTES else error.reached, window.base)
        following = window.find(GZIP_SIGN, start, keep=start, within=SPAN_BYTES)
        while following is None:
            start = window.end - len(GZIP_SIGN) + 1
            following = window.find(GZIP_SIGN, start, keep=start, within=SPAN_BYTES)
        if following == window.end and isinstance(error, TruncationError):
            self._tally["truncated_files"] += 1
        elif self._sound:
            self._tally["damaged_members"] += 1
        return following


def _after_padding(window: Window, at: int) -> int:
    """The offset of the next byte that is not zero: tapes and some object stores pad with zeros."""
    while window.reaches(at, keep=at):
        padding = _ZEROS.match(window.data, at - window.base)  # in place: a copy of the window for each member is dear
        at = window.base + (padding.end() if padding else 0)
        if at < window.end:
            break
    return at


def _stream(window: Window, at: int, inflater: "zlib._Decompress") -> Generator[Piece, None, int]:
    """Pieces of the member at `at`; returns the offset after it. Raises MemberError or TruncationError."""
    position, joint, begun = at, Joint.MEMBER, b""
    while not inflater.eof:
        more = window.reaches(position, keep=max(at, position - SPAN_BYTES))
        fed = window.view(position, position + _FEED_BYTES)
        try:
            data = inflater.decompress(fed, _PIECE_BYTES)
        except zlib.error as error:
            raise MemberError(position) from error
        # At the member's end unconsumed_tail may still hold what unused_data holds.
        position += len(fed) - len(inflater.unused_data if inflater.eof else inflater.unconsumed_tail)
        if not (more or data or inflater.eof):
            raise TruncationError(position)
        begun += data
        if inflater.eof or _shows_kind(begun, joint):
            yield Piece(at, begun, joint)
            begun, joint = b"", Joint.WITHIN
    return position


def _shows_kind(data: bytes, joint: Joint) -> bool:
    """Whether enough of a member has come to see if a record begins with it."""
    return joint is Joint.WITHIN or len(data) >= len(WARC_SIGN)


def _zstd_pieces(window: Window, tally: Counter[str]) -> Iterator[Piece]:
    """Frames of zstd. Frames carry no sign that is safe to go on from, so damage ends the file."""
    at = 0
    make: Callable[[], zstandard.ZstdDecompressionObj] = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj
    while window.reaches(at, keep=at):
        frame, position, joint, begun = make(), at, Joint.MEMBER, b""
        while not frame.eof:
            if not window.reaches(position, keep=position):
                tally["truncated_files"] += 1
                yield Piece(at, b"", Joint.GAP)
                return
            fed = window.view(position, position + _ZSTD_FEED_BYTES)
            try:
                data = frame.decompress(fed)
            except zstandard.ZstdError:
                tally["damaged_members"] += 1
                yield Piece(at, b"", Joint.GAP)
                return
            position += len(fed) - len(frame.unused_data)
            begun += data
            if frame.eof or _shows_kind(begun, joint):
                yield Piece(at, begun, joint)
                begun, joint = b"", Joint.WITHIN
        at = position


def _plain_pieces(window: Window) -> Iterator[Piece]:
    """One piece per record: the JSON of a WAT never holds the bytes that stand between two records."""
    at, joint = 0, Joint.MEMBER
    while window.reaches(at, keep=at):
        found = window.find(RECORD_END + WARC_SIGN, at, keep=at, within=SPAN_BYTES)
        if found is None:
            end = window.end - len(RECORD_END + WARC_SIGN)
            yield Piece(at, bytes(window.view(at, end)), joint)
            at, joint = end, Joint.WITHIN
            continue
        end = window.end if found == window.end else found + len(RECORD_END)
        yield Piece(at, bytes(window.view(at, end)), joint)
        at, joint = end, Joint.MEMBER
