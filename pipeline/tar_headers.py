"""The headers of a tar that is plainly in order (POSIX.1-1988 ustar, no extensions), read at a tenth of tarfile's cost."""

import os
import tarfile
from collections.abc import Iterator
from typing import NamedTuple

BLOCK_BYTES = 512
_MAGIC = (b"ustar\x00", b"ustar ")
_FILES = (b"0", b"\0")
_BLANK_CHECKSUM = 8 * ord(" ")  # its own field counts as blanks


class Member(NamedTuple):
    """A file in a tar: its name, where its content begins and how long it is, bytes."""

    name: str
    offset: int
    size: int


class PlainHeaders:
    """Iterates over the files of a tar up to the first header that is anything else, once.

    Afterwards `offset` is where that header begins, and `ended` whether it is the mark of the archive's end: whatever else
    stands there is for tarfile to judge.
    """

    def __init__(self, descriptor: int) -> None:
        self.offset = 0
        self.ended = False
        self._descriptor = descriptor

    def __iter__(self) -> Iterator[Member]:
        while (member := self._member(os.pread(self._descriptor, BLOCK_BYTES, self.offset))) is not None:
            yield member
            self.offset = member.offset + -(-member.size // BLOCK_BYTES) * BLOCK_BYTES

    def _member(self, block: bytes) -> Member | None:
        if block == bytes(BLOCK_BYTES):
            self.ended = True
            return None
        if len(block) < BLOCK_BYTES or block[257:263] not in _MAGIC or block[156:157] not in _FILES or block[345]:
            return None
        try:
            size, checksum = (int(field.partition(b"\0")[0].strip() or b"0", 8) for field in (block[124:136], block[148:156]))
        except ValueError:  # larger sizes are not octal
            return None
        name = block[:100].partition(b"\0")[0].decode("utf-8", "surrogateescape")
        if size < 0 or checksum != sum(block) - sum(block[148:156]) + _BLANK_CHECKSUM or name.endswith("/"):
            return None
        return Member(name, self.offset + BLOCK_BYTES, size)


class Forwards(tarfile.TarInfo):
    """Raises ReadError for a size below 0, by which tarfile would read the same headers again and again (CVE-2025-8194)."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> tarfile.TarInfo:  # type: ignore[override]
        return _forwards(super().frombuf(buf, encoding, errors))

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:  # type: ignore[override]
        return _forwards(super().fromtarfile(archive))


def _forwards(header: tarfile.TarInfo) -> tarfile.TarInfo:
    if header.size < 0:
        raise tarfile.ReadError("a header with a negative size")
    return header
