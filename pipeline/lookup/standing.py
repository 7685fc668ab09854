"""Where uids stand in a release besides its rows: how often in each subset, and in the ledger of which revision.

Subsets are sorted: a search by halves touches some thirty entries of a file, whatever its size; none is read whole.
"""

import ast
import hashlib
import mmap
import re
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Any, NamedTuple

from pipeline import io
from pipeline.lookup.reading import ROWS, Table
from pipeline.release.layout import DESCRIPTION, LEDGER, Release
from schemas.errors import UserError

_UID = re.compile("[0-9a-f]{32}")
_ENTRY = struct.Struct("<QQ")
_DESCR = [("f0", "<u8"), ("f1", "<u8")]
_REMOTE_BLOCK_BYTES = 1 << 16


class Removal(NamedTuple):
    """That a revision took a pair out, by what it was listed, and the sha256 of the list."""

    revision: int
    reason: str
    list_sha256: str


class Subsets:
    """The subset files of a release; `missing` are those that this copy of it lacks."""

    def __init__(self, folder: str, release: Release) -> None:
        found = {path: _opened(io.join(folder, path)) for path in release.subsets}
        self.missing = [path for path, entries in found.items() if entries is None]
        self._entries = {io.stem(path): entries for path, entries in found.items() if entries is not None}

    def weights(self, uid: str) -> dict[str, int]:
        """How often a uid stands in each subset, 0 where it does not. Raises UserError for what is no uid."""
        if not _UID.fullmatch(uid):
            raise UserError(f"a row of the release has the uid {uid!r}, which is none; verify the release by its SHA256SUMS")
        key = (int(uid[:16], 16), int(uid[16:], 16))
        return {name: bisect_right(entries, key) - bisect_left(entries, key) for name, entries in self._entries.items()}


class Entries(Sequence[tuple[int, int]]):
    """A subset file's uids as pairs of 64-bit halves, each read when it is asked for. Raises ValueError for what is no subset."""

    def __init__(self, file: Any, data: Any) -> None:
        """`file` is at its start; `data`, if given, is the same file in memory."""
        self._file, self._data = file, data
        self._length, self._start = _header(file)

    def __len__(self) -> int:
        """How many, repeats counted."""
        return self._length

    def __getitem__(self, place: Any) -> Any:
        """The pair at `place`."""
        at = self._start + place * _ENTRY.size
        if self._data is not None:
            return _ENTRY.unpack_from(self._data, at)
        self._file.seek(at)
        return _ENTRY.unpack(self._file.read(_ENTRY.size))


def _opened(path: str) -> Entries | None:
    """A subset file; None where there is none. Raises UserError for a file that is none."""
    fs, name = io.url_to_fs(path)
    try:
        if not io.is_local(path):
            return Entries(fs.open(name, "rb", block_size=_REMOTE_BLOCK_BYTES), None)
        with open(name, "rb") as file:
            return Entries(file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        return None
    except (ValueError, OSError, struct.error) as error:
        raise UserError(f"{path}: not a subset ({error}); verify the release by its SHA256SUMS") from error


def _header(file: Any) -> tuple[int, int]:
    """Entries of a .npy, and where the first stands (numpy.lib.format, versions 1 to 3; NumPy itself is slow to import)."""
    magic = file.read(8)
    if magic[:6] != b"\x93NUMPY":
        raise ValueError("no .npy")
    size = struct.unpack("<H", file.read(2))[0] if magic[6] == 1 else struct.unpack("<I", file.read(4))[0]
    if size > 10_000:
        raise ValueError("its header is too long")
    try:
        header = ast.literal_eval(file.read(size).decode("latin-1"))
        (length,) = header["shape"]
    except (SyntaxError, KeyError, TypeError) as error:
        raise ValueError(f"its header cannot be read ({error})") from error
    if header["descr"] != _DESCR:
        raise ValueError(f"its dtype is {header['descr']}; a subset is a 1-D .npy of dtype u8,u8")
    start = file.tell()
    if file.seek(0, 2) != start + length * _ENTRY.size:
        raise ValueError("its length is not what its header says")
    return length, start


def removals_of(folder: str, release: Release, uid: str) -> list[Removal]:
    """What the ledgers of this and earlier revisions say of a uid."""
    try:
        names = [f"{LEDGER}/{int(each['revision']):05d}.parquet" for each in release.removed]
    except (TypeError, KeyError, ValueError) as error:
        raise UserError(f"{io.join(folder, DESCRIPTION)}: what it says of removals cannot be read; download it again") from error
    table = Table(folder, names)
    digest = hashlib.sha256(uid.encode()).hexdigest()
    rows = table.ask(f"SELECT filename, reason, list_sha256 {ROWS} WHERE uid_sha256 = $digest", digest=digest)
    return [Removal(int(io.stem(file)), reason, list_sha256) for file, reason, list_sha256 in rows]
