"""WAT file → pieces of uncompressed bytes: gzip (a member per record, or many), zstd or plain, damage skipped.

A WAT is one gzip member per record. Each is inflated in one call by libdeflate, from its header to the next one; where that
fails (large members, a header's bytes by chance inside a member, damage) zlib streams the member and says where it ends.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from enum import Enum, auto
from typing import NamedTuple

import zstandard
from deflate import DeflateError, gzip_decompress

from pipeline.extract.window import Window
from schemas.errors import UserError

GZIP_SIGN = b"\x1f\x8b\x08"  # RFC 1952: ID1, ID2, CM = deflate
ZSTD_SIGN = b"\x28\xb5\x2f\xfd"  # RFC 8878
WARC_SIGN = b"WARC/"
RECORD_END = b"\r\n\r\n"
_SMALLEST_MEMBER = 18  # bytes: header 10, footer 8
_SPAN_BYTES = 8 << 20  # a member longer than this, compressed, is streamed
_WHOLE_BYTES = 32 << 20  # … and so is one larger than this, inflated
_PIECE_BYTES = 1 << 20
_FEED_BYTES = 256 << 10
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
    """A member that cannot be inflated."""


class TruncationError(MemberError):
    """The file ends inside a member."""


def read_pieces(window: Window, path: str, tally: Counter[str]) -> Iterator[Piece]:
    """All that can be inflated of the file `path`, in order. Counts `damaged_members` and `truncated_files` in `tally`.

    Raises UserError where the file is empty or neither gzip, zstd nor plain WARC.
    """
    if not window.reaches(0, keep=0):
        raise UserError(f"{path}: the file is empty")
    if window.starts_with(GZIP_SIGN, 0):
        yield from _gzip_pieces(window, tally)
    elif window.starts_with(ZSTD_SIGN, 0):
        yield from _zstd_pieces(window, tally)
    elif window.starts_with(WARC_SIGN, 0):
        yield from _plain_pieces(window)
    else:
        raise UserError(f"{path}: not a WAT: begins neither as gzip or zstd nor with WARC/")


def _gzip_pieces(window: Window, tally: Counter[str]) -> Iterator[Piece]:
    at, sound = 0, True
    while window.reaches(at, keep=at):
        end = window.find(GZIP_SIGN, at + _SMALLEST_MEMBER, keep=at, within=_SPAN_BYTES)
        whole = None if end is None else _inflate_whole(window.view(at, end))
        if whole is not None and end is not None:
            yield Piece(at, whole, Joint.MEMBER)
            at, sound = end, True
            continue
        padded = _after_padding(window, at)
        if padded > at:
            at = padded
            continue
        try:
            at = yield from _stream(window, at, zlib.decompressobj(wbits=31), _FEED_BYTES)
            sound = True
        except MemberError as error:
            yield Piece(at, b"", Joint.GAP)
            at, sound = _after_damage(window, at, error, tally, sound=sound), False


def _after_damage(window: Window, at: int, error: MemberError, tally: Counter[str], *, sound: bool) -> int:
    """The next header after a broken member at `at`, counting the damage once however many false headers it holds."""
    start = max(at + 1, window.base)
    following = window.find(GZIP_SIGN, start, keep=start, within=_SPAN_BYTES)
    while following is None:
        start = window.end - len(GZIP_SIGN) + 1
        following = window.find(GZIP_SIGN, start, keep=start, within=_SPAN_BYTES)
    if following == window.end and isinstance(error, TruncationError):
        tally["truncated_files"] += 1
    elif sound:
        tally["damaged_members"] += 1
    return following


def _inflate_whole(member: memoryview) -> bytearray | None:
    """The member inflated, or None where it is not exactly one member of moderate size."""
    size = int.from_bytes(member[-4:], "little")  # ISIZE
    if len(member) < _SMALLEST_MEMBER or not 0 < size <= _WHOLE_BYTES:
        return None  # 0 too: libdeflate's binding answers b"" to a size of 0, whatever the member holds
    try:
        inflated: bytearray = gzip_decompress(member, size)
    except DeflateError:
        return None
    return inflated if len(inflated) == size else None


def _after_padding(window: Window, at: int) -> int:
    """The offset of the next byte that is not zero: tapes and some object stores pad with zeros."""
    while window.reaches(at, keep=at):
        rest = window.data[at - window.base :]
        zeros = len(rest) - len(rest.lstrip(b"\0"))
        at += zeros
        if zeros < len(rest):
            break
    return at


def _stream(window: Window, at: int, inflater: "zlib._Decompress", feed_bytes: int) -> Generator[Piece, None, int]:
    """Pieces of the member at `at`; returns the offset after it. Raises MemberError or TruncationError."""
    position, joint = at, Joint.MEMBER
    while not inflater.eof:
        more = window.reaches(position, keep=max(at, position - _SPAN_BYTES))
        fed = window.view(position, position + feed_bytes)
        try:
            data = inflater.decompress(fed, _PIECE_BYTES)
        except zlib.error as error:
            raise MemberError from error
        # At the member's end unconsumed_tail may still hold what unused_data holds.
        position += len(fed) - len(inflater.unused_data if inflater.eof else inflater.unconsumed_tail)
        if not (more or data or inflater.eof):
            raise TruncationError
        if data:
            yield Piece(at, data, joint)
            joint = Joint.WITHIN
    return position


def _zstd_pieces(window: Window, tally: Counter[str]) -> Iterator[Piece]:
    """Frames of zstd. Frames carry no sign that is safe to go on from, so damage ends the file."""
    at = 0
    make: Callable[[], zstandard.ZstdDecompressionObj] = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj
    while window.reaches(at, keep=at):
        frame, position, joint = make(), at, Joint.MEMBER
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
            yield Piece(at, data, joint)
            joint = Joint.WITHIN
        at = position


def _plain_pieces(window: Window) -> Iterator[Piece]:
    """One piece per record: the JSON of a WAT never holds the bytes that stand between two records."""
    at, joint = 0, Joint.MEMBER
    while window.reaches(at, keep=at):
        found = window.find(RECORD_END + WARC_SIGN, at, keep=at, within=_SPAN_BYTES)
        if found is None:
            end = window.end - len(RECORD_END + WARC_SIGN)
            yield Piece(at, bytes(window.view(at, end)), joint)
            at, joint = end, Joint.WITHIN
            continue
        end = window.end if found == window.end else found + len(RECORD_END)
        yield Piece(at, bytes(window.view(at, end)), joint)
        at, joint = end, Joint.MEMBER
