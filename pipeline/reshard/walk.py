"""A tar on this machine → its samples in order, as stretches of bytes: headers and json are read, and nothing else."""

import os
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, NamedTuple

from pipeline.samples import MEMBER_LIMIT_BYTES, split_name
from pipeline.tar_headers import BLOCK_BYTES, Forwards, PlainHeaders

_CUT_SHORT = "unexpected end of data"
_NO_END = "no end-of-archive mark: cut short, or still being written"


class Entry(NamedTuple):
    """A file in a tar: its name, where its header and its content begin and how long the content is, bytes."""

    name: str
    start: int
    offset: int
    size: int


class Stretch(NamedTuple):
    """A sample: where its first header begins, bytes to the end of its last member, its json, and where its caption is."""

    start: int
    length: int
    json: bytes | None
    text: Entry | None


@dataclass
class Walk:
    """Iterates over the samples of an open tar, once. Afterwards `damage` says why it ended early, "" if it did not.

    `dropped` counts samples that are none: too_large, or cut_off by the end of a damaged tar. A suffix that comes again begins
    a new sample, though the key be the same, as in DataComp's resharder; members without suffix are of no sample.
    """

    file: IO[bytes]
    damage: str = ""
    dropped: Counter[str] = field(default_factory=Counter)
    samples: int = 0
    _tar_bytes: int = field(default=0, init=False)

    def __iter__(self) -> Iterator[Stretch]:
        usual: set[str] | None = None
        waiting: dict[str, Entry] = {}
        for members in self._grouped():
            if waiting:
                yield from self._stretch(waiting)
            usual, waiting = usual or set(members), members
        if waiting and self.damage and set(waiting) != usual:
            self.samples += 1
            self.dropped["cut_off"] += 1  # what a tar breaks off in is known to be whole only where the others look the same
        elif waiting:
            yield from self._stretch(waiting)

    def _grouped(self) -> Iterator[dict[str, Entry]]:
        key, members = "", dict[str, Entry]()
        for entry in self._entries():
            own, suffix = split_name(entry.name)
            if not suffix or not own or own.endswith("/"):
                continue
            if members and (own != key or suffix in members):
                yield members
                members = {}
            key, members[suffix] = own, entry
        if members:
            yield members

    def _stretch(self, members: dict[str, Entry]) -> Iterator[Stretch]:
        self.samples += 1
        first, last = next(iter(members.values())), next(reversed(members.values()))
        end = last.offset + -(-last.size // BLOCK_BYTES) * BLOCK_BYTES
        length = min(end, self._tar_bytes) - first.start  # a tar may be cut in what fills up the last block
        if length > MEMBER_LIMIT_BYTES:
            self.dropped["too_large"] += 1
            return
        yield Stretch(first.start, length, self.content(members.get("json")), members.get("txt"))

    def content(self, member: Entry | None) -> bytes | None:
        """What is in a member; None for none."""
        return None if member is None else os.pread(self.file.fileno(), member.size, member.offset)

    def _entries(self) -> Iterator[Entry]:
        self._tar_bytes = tar_bytes = os.fstat(self.file.fileno()).st_size
        headers = PlainHeaders(self.file.fileno())
        for name, offset, size in headers:
            if offset + size > tar_bytes:
                self.damage = _CUT_SHORT
                return
            yield Entry(name, offset - BLOCK_BYTES, offset, size)
        if not headers.ended:
            yield from self._through_tarfile(headers.offset, tar_bytes)

    def _through_tarfile(self, start: int, tar_bytes: int) -> Iterator[Entry]:
        self.file.seek(start)
        try:
            archive = tarfile.open(fileobj=self.file, mode="r:", tarinfo=Forwards)  # noqa: SIM115 - closes nothing of ours
            for header in archive:
                if header.isreg() and not header.issparse():
                    if header.offset_data + header.size > tar_bytes:
                        raise tarfile.ReadError(_CUT_SHORT)
                    yield Entry(header.name, header.offset, header.offset_data, header.size)
                archive.members = []  # type: ignore[attr-defined] # else every header of the tar stays in memory
        except (tarfile.TarError, EOFError, OSError, ValueError, RecursionError) as error:
            self.damage = _NO_END if start >= tar_bytes else str(error) or type(error).__name__
            return
        if os.pread(self.file.fileno(), BLOCK_BYTES, archive.offset) != bytes(BLOCK_BYTES):
            self.damage = _NO_END
