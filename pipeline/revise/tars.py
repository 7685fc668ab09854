"""A shard's tar without some samples: all else of it byte for byte. And what its json members tell of each sample."""

import os
import shutil
import tarfile
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import IO, Any

from pipeline import io
from pipeline.samples import TarReader, parse_json, split_name
from pipeline.tar_headers import BLOCK_BYTES, Forwards, PlainHeaders
from schemas.errors import UserError

_CHUNK_BYTES = 1 << 22
_END_OF_TAR = bytes(2 * BLOCK_BYTES)


@contextmanager
def open_local(path: str) -> Iterator[IO[bytes]]:
    """A tar as a file of this machine's, whose headers can be read without its contents: a remote one is copied for the block."""
    with io.open_read(path) as file:
        if io.is_local(path):
            with open(io.url_to_fs(path)[1], "rb") as local:
                yield local
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(file, copy, _CHUNK_BYTES)
            copy.seek(0)
            yield copy


def told_in(file: IO[bytes], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key and json of each sample of an open tar, {} where it has none. Raises UserError for a damaged tar."""
    reader = TarReader(file)
    for sample in reader.located():
        at = sample.members.get("json")
        yield sample.key, parse_json(os.pread(file.fileno(), at.size, at.offset) if at else None)
    if reader.damage:
        raise UserError(f"{path}: damaged tar ({reader.damage}); mend it, or take it out of the folder")


def write_without(file: IO[bytes], path: str, keys: Collection[str], target: IO[bytes]) -> int:
    """Write an open tar without the members of these samples; how many members that leaves out. Raises UserError."""
    left_out = written = at = end = 0
    try:
        for name, start, end in _members(file):
            if split_name(name)[0] in keys:
                written += _copy(file, at, start, target)
                left_out, at = left_out + 1, end
    except (tarfile.TarError, EOFError) as error:
        raise UserError(f"{path}: damaged tar ({error}); mend it, or take it out of the folder") from error
    written += _copy(file, at, end, target)
    target.write(_END_OF_TAR + bytes(-(written + len(_END_OF_TAR)) % tarfile.RECORDSIZE))
    return left_out


def _members(file: IO[bytes]) -> Iterator[tuple[str, int, int]]:
    """Name of each member, where its headers begin and where it ends."""
    headers = PlainHeaders(file.fileno())
    for name, offset, size in headers:
        yield name, offset - BLOCK_BYTES, offset + _padded(size)
    if headers.ended:
        return
    file.seek(headers.offset)  # something that is not plain: a long name, a folder, another format
    with tarfile.open(fileobj=file, mode="r:", tarinfo=Forwards) as archive:
        for header in archive:
            yield header.name, header.offset, header.offset_data + (_padded(header.size) if header.isfile() else 0)
            archive.members = []  # type: ignore[attr-defined] # else every header of the tar stays in memory


def _padded(size: int) -> int:
    return -(-size // BLOCK_BYTES) * BLOCK_BYTES


def _copy(file: IO[bytes], start: int, end: int, target: IO[bytes]) -> int:
    """Bytes of a tar, from start up to end; how many."""
    for at in range(start, end, _CHUNK_BYTES):
        target.write(os.pread(file.fileno(), min(_CHUNK_BYTES, end - at), at))
    return end - start
