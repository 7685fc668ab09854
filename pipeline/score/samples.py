"""A shard's tar → its samples, in order: members grouped by key, as WebDataset groups them.

Tars may come from anywhere: a member's name is only ever compared and stored, never used as a path.
"""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import IO, Any

MEMBER_LIMIT_BYTES = 256 * 2**20  # far above any image worth training on; one member is held in memory


@dataclass(frozen=True)
class Sample:
    """The members of one key: suffix in lower case (jpg, txt, json) → content. A member over the limit has no content."""

    key: str
    members: dict[str, bytes | None]


@dataclass
class TarReader:
    """Iterates over the samples of an open tar, once. Afterwards `damage` says why it ended early, "" if it did not."""

    file: IO[bytes]
    damage: str = ""
    bytes_read: int = 0
    _archive: Any = field(default=None, repr=False)

    def __iter__(self) -> Iterator[Sample]:
        for key, members in groupby(self._members(), key=lambda member: member[0]):
            yield Sample(key, {suffix: content for _, suffix, content in members})

    def _members(self) -> Iterator[tuple[str, str, bytes | None]]:
        try:
            archive = tarfile.open(fileobj=self.file, mode="r|", tarinfo=_Header)  # noqa: SIM115 - closes nothing of ours
            for header in archive:
                if header.isfile():
                    key, suffix = split_name(header.name)
                    yield key, suffix, self._content(archive, header)
                archive.members = []  # type: ignore[attr-defined] # else every header of the tar stays in memory
        except (tarfile.TarError, EOFError, OSError) as error:
            self.damage = str(error) or type(error).__name__
            return
        if not getattr(archive, "ended", False):
            self.damage = "no end-of-archive mark: cut short, or still being written"

    def _content(self, archive: tarfile.TarFile, header: tarfile.TarInfo) -> bytes | None:
        self.bytes_read += header.size
        if header.size > MEMBER_LIMIT_BYTES:
            return None
        opened = archive.extractfile(header)
        return opened.read() if opened else None


class _Header(tarfile.TarInfo):
    """Notes on the archive that its end mark was met: tarfile takes a cut between two members for the end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> tarfile.TarInfo:  # type: ignore[override]
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            archive.ended = True  # type: ignore[attr-defined]
            raise


def split_name(name: str) -> tuple[str, str]:
    """Key and suffix, parted at the first dot of the base name, as in WebDataset: a/00.seg.png → (a/00, seg.png)."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    folder, slash, base = text.rpartition("/")
    stem, _, suffix = base.partition(".")
    return f"{folder}{slash}{stem}", suffix.lower()
