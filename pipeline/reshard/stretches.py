"""Stretches of tars → the samples' members: bytes read where they stand, from this machine or an object store."""

import io as bytes_io
import os
import re
import tarfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple

from pipeline import io
from pipeline.samples import split_name
from pipeline.tar_headers import BLOCK_BYTES, Forwards
from schemas.errors import UserError

_OPEN_AT_ONCE = 64  # tars
_ASKED_AT_ONCE = 256  # ranges of an object store
_HELD_BYTES = 2**26  # that ranges asked at once may have
_GAP_BYTES = 2**16  # read along rather than asked for in two requests
# What a member of an output tar may be called after the dot; others are dropped and counted. Keys are never taken over.
_SUFFIX = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_PLAIN = (b"ustar\x00", b"ustar ")

Request = tuple[str, int, int]  # a tar, where in it and how many bytes


class Members(NamedTuple):
    """A sample's key in its tar; suffix → content, sorted by suffix, as WebDataset's writer sorts them; names left out."""

    key: str
    contents: dict[str, bytes]
    odd: int


def read_all(requests: Sequence[Request]) -> Iterator[bytes]:
    """The bytes of each request, in order. Raises UserError where a tar has become shorter since it was looked through."""
    if all(io.is_local(path) for path, _, _ in requests):
        yield from _from_disk(requests)
    else:
        for batch in _batches(requests):
            yield from _from_store(batch)


def members_of(stretch: bytes) -> Members:
    """The members of the one sample that a stretch holds, be it that its last block is cut short after the content."""
    key, found, odd = "", dict[str, bytes](), 0
    for name, content in _files(stretch + bytes(-len(stretch) % BLOCK_BYTES)):
        own, suffix = split_name(name)
        if not suffix or not own or own.endswith("/"):
            continue
        key = own
        if _SUFFIX.fullmatch(suffix):
            found[suffix] = content
        else:
            odd += 1
    return Members(key, dict(sorted(found.items())), odd)


def _files(stretch: bytes) -> list[tuple[str, bytes]]:
    """Names and contents; through tarfile where any header is not a plain one, as PlainHeaders understands that."""
    found, at = [], 0
    while at < len(stretch):
        head = stretch[at : at + BLOCK_BYTES]
        if head[257:263] not in _PLAIN or head[156:157] not in (b"0", b"\0") or head[345]:
            return _through_tarfile(stretch)
        try:
            size = int(head[124:136].partition(b"\0")[0].strip() or b"0", 8)
        except ValueError:
            return _through_tarfile(stretch)
        at += BLOCK_BYTES
        found.append((head[:100].partition(b"\0")[0].decode("utf-8", "surrogateescape"), stretch[at : at + size]))
        at += -(-size // BLOCK_BYTES) * BLOCK_BYTES
    return found


def _through_tarfile(stretch: bytes) -> list[tuple[str, bytes]]:
    with tarfile.open(fileobj=bytes_io.BytesIO(stretch), mode="r:", tarinfo=Forwards) as archive:
        headers = [header for header in archive if header.isreg() and not header.issparse()]
        return [(header.name, stretch[header.offset_data :][: header.size]) for header in headers]


def _from_disk(requests: Sequence[Request]) -> Iterator[bytes]:
    files: OrderedDict[str, IO[bytes]] = OrderedDict()
    try:
        for path, at, length in requests:
            if path not in files:
                if len(files) == _OPEN_AT_ONCE:
                    files.popitem(last=False)[1].close()
                files[path] = io.open_read(path)
            files.move_to_end(path)
            yield _whole(os.pread(files[path].fileno(), length, at), path, length)
    finally:
        for file in files.values():
            file.close()


def _batches(requests: Sequence[Request]) -> Iterator[Sequence[Request]]:
    start = held = 0
    for place, (_, _, length) in enumerate(requests):
        if place > start and (held + length > _HELD_BYTES or place - start == _ASKED_AT_ONCE):
            yield requests[start:place]
            start, held = place, 0
        held += length
    yield requests[start:]


def _from_store(requests: Sequence[Request]) -> Iterator[bytes]:
    """All at once: a store answers hundreds of requests side by side, each after its own wait."""
    ranges: list[list[int]] = []  # begin and end
    paths: list[str] = []
    within = []  # which range a request is in, and where
    for path, at, length in requests:
        if paths and paths[-1] == path and 0 <= at - ranges[-1][1] <= _GAP_BYTES:
            ranges[-1][1] = at + length
        else:
            paths.append(path)
            ranges.append([at, at + length])
        within.append((len(ranges) - 1, at - ranges[-1][0]))
    fs = io.url_to_fs(paths[0])[0]
    begins, ends = [begin for begin, _ in ranges], [end for _, end in ranges]
    pieces = fs.cat_ranges([io.url_to_fs(path)[1] for path in paths], begins, ends, on_error="raise")
    for (path, _, length), (place, begin) in zip(requests, within, strict=True):
        yield _whole(bytes(pieces[place][begin : begin + length]), path, length)


def _whole(content: bytes, path: str, length: int) -> bytes:
    if len(content) != length:
        raise UserError(f"{path}: became shorter while it was read; give an --output-dir that does not exist yet")
    return content
