"""A shard's tar → its samples, in order: members grouped by key, as WebDataset groups them; a sample → uid, caption, image.

Tars may come from anywhere: a member's name is only ever compared and stored, never used as a path.
"""

import hashlib
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from typing import IO, Any, Literal, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import io
from pipeline.tar_headers import Forwards, PlainHeaders
from schemas.errors import UserError

Content = TypeVar("Content")

IMAGE_SUFFIXES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff")
_UID = re.compile(r"[0-9a-f]{32}")
_CUT_SHORT = "unexpected end of data"  # as tarfile says it
MEMBER_LIMIT_BYTES = 256 * 2**20  # far above any image worth training on; one member is held in memory


@dataclass(frozen=True)
class Sample:
    """The members of one key: suffix in lower case (jpg, txt, json) → content. A member over the limit has no content."""

    key: str
    members: dict[str, bytes | None]


class Place(NamedTuple):
    """Where in a tar the content of a member begins, and how long it is, in bytes."""

    offset: int
    size: int


@dataclass(frozen=True)
class Located:
    """A sample of a tar on this machine that is not read yet: suffix in lower case → place; None over the limit."""

    key: str
    members: dict[str, Place | None]

    def read(self, descriptor: int) -> Sample:
        """The sample, by a descriptor of the open tar."""
        contents = {suffix: at and os.pread(descriptor, at.size, at.offset) for suffix, at in self.members.items()}
        return Sample(self.key, contents)


@dataclass(frozen=True)
class Pair:
    """What every stage takes of a sample. `told`: its row of the sidecar, completed by its json; all of it is untrusted."""

    key: str
    uid: str
    caption: str
    image: bytes  # encoded
    told: dict[str, Any]


@dataclass(frozen=True)
class Dropped:
    """A sample that is no pair, and why."""

    key: str
    reason: str


@dataclass
class TarReader:
    """Iterates over the samples of an open tar, once. Afterwards `damage` says why it ended early, "" if it did not."""

    file: IO[bytes]
    damage: str = ""
    bytes_read: int = 0
    _archive: Any = field(default=None, repr=False)

    def __iter__(self) -> Iterator[Sample]:
        for key, members in groupby(self._through_tarfile("r|", _content), key=lambda member: member[0]):
            yield Sample(key, {suffix: content for _, suffix, content in members})

    def located(self) -> Iterator[Located]:
        """Instead of the samples, where they are: of a file on this machine only headers are read, and contents passed over."""
        for key, members in groupby(self._places(), key=lambda member: member[0]):
            yield Located(key, {suffix: at for _, suffix, at in members})

    def _places(self) -> Iterator[tuple[str, str, Place | None]]:
        tar_bytes = os.fstat(self.file.fileno()).st_size
        headers = PlainHeaders(self.file.fileno())
        for name, offset, size in headers:
            if offset + size > tar_bytes:
                self.damage = _CUT_SHORT
                return
            self.bytes_read += size
            yield *split_name(name), Place(offset, size) if size <= MEMBER_LIMIT_BYTES else None
        if not headers.ended:
            self.file.seek(headers.offset)
            yield from self._through_tarfile("r:", partial(_place, tar_bytes))

    def _through_tarfile(
        self, mode: Literal["r|", "r:"], content: Callable[[tarfile.TarFile, tarfile.TarInfo], Content]
    ) -> Iterator[tuple[str, str, Content | None]]:
        try:
            archive = tarfile.open(fileobj=self.file, mode=mode, tarinfo=_Header)  # noqa: SIM115 - closes nothing of ours
            for header in archive:
                if header.isfile():
                    self.bytes_read += header.size
                    yield *split_name(header.name), content(archive, header) if header.size <= MEMBER_LIMIT_BYTES else None
                archive.members = []  # type: ignore[attr-defined] # else every header of the tar stays in memory
        except (tarfile.TarError, EOFError, OSError) as error:
            self.damage = str(error) or type(error).__name__
            return
        if not getattr(archive, "ended", False):
            self.damage = "no end-of-archive mark: cut short, or still being written"


def _content(archive: tarfile.TarFile, header: tarfile.TarInfo) -> bytes | None:
    opened = archive.extractfile(header)
    return opened.read() if opened else None


def _place(tar_bytes: int, _: tarfile.TarFile, header: tarfile.TarInfo) -> Place:
    if header.offset_data + header.size > tar_bytes:
        raise tarfile.ReadError(_CUT_SHORT)
    return Place(header.offset_data, header.size)


class _Header(Forwards):
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


def pair_of(sample: Sample, beside: Mapping[str, Any]) -> Pair | Dropped:
    """The pair that a sample is, or why it is none. `beside`: its row of the sidecar.

    Where json and sidecar disagree the json counts, but null in it says nothing. An empty caption is one: which captions are
    good enough is for filters to say, and what they kept is trained on. A shard that tells no uids, such as img2dataset writes
    without being asked for them, gets those that its captions and URLs make.
    """
    told = {**beside, **{name: value for name, value in parse_json(sample.members.get("json")).items() if value is not None}}
    suffixes = [suffix for suffix in IMAGE_SUFFIXES if suffix in sample.members]
    image = next((content for suffix in suffixes if (content := sample.members[suffix]) is not None), None)
    caption = _caption(sample, told)
    url = told.get("url")
    if told.get("uid") is not None:
        uid = uid_of(told)
    else:
        uid = made_uid(caption, url) if caption is not None and isinstance(url, str) and url else None
    if not suffixes:
        return Dropped(sample.key, "no_image")
    if caption is None:
        return Dropped(sample.key, "no_caption")
    if uid is None:
        return Dropped(sample.key, "no_uid")
    if image is None:
        return Dropped(sample.key, "too_large_image")
    return Pair(key=sample.key, uid=uid, caption=caption, image=image, told=told)


def read_sidecar(tar_path: str, columns: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The rows of the parquet beside a tar, by key: these columns, those that it has; nothing where there is none.

    Raises UserError where it is damaged.
    """
    path = tar_path.removesuffix(".tar") + ".parquet"
    if not io.exists(path):
        return {}
    try:
        with io.open_read(path) as source:
            file = pq.ParquetFile(source)
            rows = file.read(columns=[name for name in ("key", *columns) if name in file.schema_arrow.names]).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: damaged parquet file ({error})") from error
    return {row["key"]: row for row in rows if row.get("key")}


def parse_json(content: bytes | None) -> dict[str, Any]:
    """A sample's json; nothing where it is missing or is not an object."""
    try:
        value = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def uid_of(told: Mapping[str, Any]) -> str | None:
    """The uid, in lower case; None where there is none or it is not 32 hex digits."""
    uid = told.get("uid")
    return uid.lower() if isinstance(uid, str) and _UID.fullmatch(uid.lower()) else None


def made_uid(caption: str, url: str) -> str:
    """The uid of a pair, as cc2dataset and DataComp make it."""
    return hashlib.md5(f"{caption}{url}".encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def clean(text: Any) -> str | None:
    """A string that UTF-8 can hold (JSON may smuggle in lone surrogates); None for anything else."""
    return text.encode("utf-8", "replace").decode() if isinstance(text, str) else None


def _caption(sample: Sample, told: Mapping[str, Any]) -> str | None:
    text = sample.members.get("txt")
    return text.decode("utf-8", "replace") if text is not None else clean(told.get("caption"))
