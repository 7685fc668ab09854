"""The beginning of a file that is being downloaded: beside its place, kept when the process is killed, taken up by the next.

_part.NAME.KEY holds the bytes, _part.NAME.KEY.json says of which file they are: what its server calls that version of it. KEY
says what the file is to become: what is left of another revision, or of another choice of columns, is never taken for it.
"""

import json
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

from pipeline import io
from schemas.errors import UserError

PREFIX = "_part."  # no reader takes what begins with _ for data
_KEY_CHARS = 16


class NoRoomError(UserError):
    """The disk is full: no other file would fit either."""


class Partial:
    """Bytes 0 to `position` of what is to stand at `target`."""

    def __init__(self, target: Path, key: str) -> None:
        """`key`: hex digits. Nothing is made before the block begins."""
        self.path = target.with_name(f"{PREFIX}{target.name}.{key[:_KEY_CHARS]}")
        self.beside = self.path.with_name(f"{self.path.name}.made")  # for what is made of it before that gets its name
        self._about = self.path.with_name(f"{self.path.name}.json")
        self.position = 0
        self.validator = ""
        self.total: int | None = None

    def __enter__(self) -> "Partial":
        """Take up what is there. Raises UserError where the place cannot be written to."""
        with io.writing(str(self.path)):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: what was received is in the system's hands at once, and outlives a kill -9.
            self._file = open(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644), "r+b", buffering=0)
        about = _read(self._about)
        size = self._file.seek(0, os.SEEK_END)
        if size and about is not None:
            self.position, self.validator, self.total = size, about["validator"], about["total"]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close it; it stays for the next run."""
        self._file.close()

    @property
    def whole(self) -> bool:
        """Whether all bytes are here, as far as the source said how many there are."""
        return self.position > 0 and self.position == self.total

    def restart(self, validator: str = "", total: int | None = None, *, needed: int | None = None) -> None:
        """Begin anew with a version of `total` bytes. Raises NoRoomError where `needed` bytes (else `total`) will not fit."""
        with full_disk_told(self.path):
            self._file.truncate(0)
            self._file.seek(0)
            free = shutil.disk_usage(self.path.parent).free
            bytes_needed = total if needed is None else needed
            if bytes_needed is not None and bytes_needed > free:
                raise NoRoomError(f"{self.path.parent}: {bytes_needed:,} bytes are to come, {free:,} are free; make room")
            with io.atomic_write(str(self._about)) as file:
                file.write(json.dumps({"validator": validator, "total": total}).encode())
        self.position, self.validator, self.total = 0, validator, total

    def append(self, block: bytes) -> None:
        """Add what came. Raises NoRoomError where the disk is full."""
        rest = memoryview(block)
        with full_disk_told(self.path):
            while rest:
                written = self._file.write(rest)
                rest = rest[written:]
                self.position += written

    def read_all(self, into: Any) -> None:
        """Feed a hash with the bytes that are here."""
        self._file.seek(0)
        while block := self._file.read(1 << 20):
            into.update(block)

    def discard(self) -> None:
        """Remove it, the next run begins anew."""
        for path in (self._about, self.beside, self.path):
            path.unlink(missing_ok=True)

    def become(self, target: Path) -> None:
        """Give the file its name."""
        with io.writing(str(target)):
            os.replace(self.path, target)
        self._about.unlink(missing_ok=True)


class full_disk_told:  # noqa: N801 - read as a verb: with full_disk_told(path)
    """A block in which a full disk becomes NoRoomError."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if isinstance(error, OSError):
            try:
                io.require_room(str(self._path.parent), error)
            except UserError as told:
                raise NoRoomError(str(told)) from error


def _read(path: Path) -> dict[str, Any] | None:
    """What is known of the bytes; None where that was not written whole, or by somebody else."""
    try:
        found = json.loads(path.read_bytes())
        whole = isinstance(found["validator"], str) and isinstance(found["total"], int | None)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if whole else None
